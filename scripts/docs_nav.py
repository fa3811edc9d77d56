"""The order of the documentation, made from its folders: a page is listed because it is there.

In a section `index.md` comes first, then the rest by name; a page's title is its first heading. The
sections stand in the order a reader needs them.
"""

from pathlib import PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

SECTIONS = {
    "intro": "Introduction",
    "howto": "How to",
    "topics": "Topics",
    "reference": "Reference",
    "deploy": "Deploy",
    "project": "Project",
    "decisions": "Decisions",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    sections: dict[str, list[str]] = {name: [] for name in SECTIONS}
    top: list[str] = []
    for file in files.documentation_pages():
        path = PurePosixPath(file.src_uri)
        if len(path.parts) == 1:
            top.append(file.src_uri)
        else:
            sections.setdefault(path.parts[0], []).append(file.src_uri)
    config.nav = [
        *sorted(top, key=index_first),
        *(
            {SECTIONS.get(name, name.capitalize()): sorted(pages, key=index_first)}
            for name, pages in sections.items()
            if pages
        ),
    ]
    return files


def index_first(uri: str) -> tuple[bool, str]:
    path = PurePosixPath(uri)
    return path.name != "index.md", uri

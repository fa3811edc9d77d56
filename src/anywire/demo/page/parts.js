// Small parts of the page. Whatever others wrote goes in as text, never as markup.

/** An element with these attributes and children. */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function tick() {
  return element("span", { class: "tick", role: "img", "aria-label": "verified", title: "Verified by the token" }, "✓");
}

/** The first letter on one of eight colours, the same for the same name everywhere. */
export function avatar(person) {
  let sum = 0;
  for (const letter of person) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return element("span", { class: `avatar hue-${sum % 8}`, "aria-hidden": "true" }, [...person][0]?.toUpperCase() ?? "?");
}

/** Milliseconds until what has failed so many times is tried again. */
export function delay(tries) {
  return Math.min(10_000, 500 * 2 ** tries);
}

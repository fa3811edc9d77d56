// How to join from elsewhere: commands and code to paste, for this host, this room and this token.

/** Ways to join: `{name, steps: [{text, code}]}`. `programs` says how anywire and Python are called here. */
export function ways({ origin, room, token, programs }) {
  const ws = `${origin.replace(/^http/, "ws")}/ws`;
  const { anywire, python } = programs;
  const said = (text) => `{"room": ${JSON.stringify(room)}, "message": ${JSON.stringify(text)}}`;
  const talk = `${anywire} talk ${quoted(`${ws}?name=terminal`)} --wire anywire --join chat`;
  const credentials = token ? ` --token ${quoted(token)}` : "";
  const header = token ? ` -H ${quoted(`Authorization: Bearer ${token}`)}` : "";
  const argument = token ? `, token=${JSON.stringify(token)}` : "";
  const plain = (type, fields) => JSON.stringify({ type, ...fields });
  return [
    {
      name: "Terminal",
      steps: [
        { text: "In a terminal:", code: talk + credentials },
        { text: "and there:", code: `send-message ${said("hello from a terminal")}` },
        {
          text: "Or from a script:",
          code: `${talk}${credentials} -x ${quoted(`send-message ${said("hello from a script")}`)} -w 1`,
        },
      ],
    },
    {
      name: "wscat",
      steps: [
        { text: "Any WebSocket client will do:", code: `npx wscat -c ${quoted(`${ws}?name=wscat`)}${header}` },
        { text: "and there, to join this room:", code: plain("join-room", { room }) },
        { text: "to say something and be answered:", code: plain("send-message", { id: 1, room, message: "hello from wscat" }) },
        { text: "Bare text goes to the room joined last:", code: "hello again" },
      ],
    },
    {
      name: "Python",
      steps: [
        {
          text: "In a terminal:",
          code: `${python} - <<'END'
import asyncio, contextlib
from anywire.client import connect

async def main():
    async with connect(${JSON.stringify(`${ws}?name=python`)}${argument}) as client:
        chat = client.channel("chat")
        await chat.join()
        await chat.call("send-message", room=${JSON.stringify(room)}, message="hello from Python")
        async for event in chat:
            print(event.name, event.data)

with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
END`,
        },
      ],
    },
  ];
}

/** One word for a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

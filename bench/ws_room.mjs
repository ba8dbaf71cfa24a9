// The same small room on npm `ws`, as its documentation broadcasts: the presence encoded once, one send() per socket.
//
// Usage: node ws_room.mjs PAYLOAD_BYTES; prints its address, and runs until it is killed.
import { WebSocketServer } from "ws";

const payloadBytes = Number(process.argv[2]);
const MOODS = ["gratitude", "presence", "release", "connection"];

const people = new Map(); // By visitor: their socket and mood.
const tally = { gratitude: 0, presence: 0, release: 0, connection: 0, unspoken: 0 };

function presence() {
  const count = people.size;
  const moods = Object.fromEntries(MOODS.map((mood) => [mood, tally[mood]]));
  const text = JSON.stringify({
    type: "presence", room: "lobby", count, low: count, high: count, method: "counted", sample_rate: 1, moods,
    unspoken: tally.unspoken, label: String(count), as_of_ms: Date.now(), stale_after_ms: 30000, poll_ms: 30000,
  });
  return Buffer.from(text.padEnd(payloadBytes));
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 2048, perMessageDeflate: false });
server.on("listening", () => console.log(`http://127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  let me = null;
  let visitor = "";
  socket.on("error", () => {}); // The load ends its sockets with a reset.
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.type === "join") {
      visitor = message.visitor;
      me = { socket, mood: "unspoken" };
      people.set(visitor, me);
      tally.unspoken += 1;
      socket.send(presence(), { binary: false });
    } else if (message.type === "mood") {
      tally[me.mood] -= 1;
      me.mood = message.mood;
      tally[me.mood] += 1;
      const presenceText = presence();
      for (const person of people.values()) person.socket.send(presenceText, { binary: false });
    }
  });
  socket.on("close", () => {
    if (me && people.delete(visitor)) tally[me.mood] -= 1;
  });
});

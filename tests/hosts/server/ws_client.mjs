// A visitor by way of npm `ws`, an implementation of WebSocket that is not ours.
//
// It reads orders on stdin, one JSON array a line, and writes what happens on stdout, one JSON array a line:
//   ["text", "…"]            send a message            ["fragments", "…", "…"]  send one in fragments, pings between
//   ["ping", "…"]            send a ping               ["close", code, "…"]     begin the closing handshake
//   ["terminate"]            cut the connection

import { createInterface } from "node:readline";
import WebSocket from "ws";

const socket = new WebSocket(process.argv[2]); // It offers permessage-deflate, as it does by default.
const report = (...event) => process.stdout.write(JSON.stringify(event) + "\n");

const orders = {
  text: (text) => socket.send(text),
  fragments: (...parts) => {
    parts.forEach((part, index) => {
      socket.send(part, { fin: index === parts.length - 1 });
      socket.ping(`between ${index}`);
    });
  },
  ping: (body) => socket.ping(body),
  close: (code, reason) => socket.close(code, reason),
  terminate: () => socket.terminate(),
};

socket.on("open", () => {
  report("open", socket.protocol, socket.extensions);
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [order, ...values] = JSON.parse(line);
    orders[order](...values);
  });
});
socket.on("message", (data, isBinary) => report("message", data.toString(), isBinary));
socket.on("pong", (body) => report("pong", body.toString()));
socket.on("error", (error) => report("error", error.message));
socket.on("close", (code, reason) => {
  report("close", code, reason.toString());
  process.exit(0);
});

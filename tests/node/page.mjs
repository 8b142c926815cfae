// The part of chromium.mjs that runs in the page.

import { LongPoll, Presence, Socket } from "phoenix";

import * as cases from "./cases/index.mjs";
import { attempt } from "./harness.mjs";

// What network.mjs has is at the other end of `host`, which chromium.mjs puts into the page.
const METHODS = ["end", "seen", "loseNext", "count", "freeze", "cut"];

function remote({ id, url, port }) {
  const methods = METHODS.map((method) => [method, (...args) => globalThis.host("call", id, method, ...args)]);
  return { url, port, ...Object.fromEntries(methods) };
}

export function run({ target, version, transport, name, url }) {
  const world = {
    url,
    server: async (port) => remote(await globalThis.host("server", port)),
    proxy: async (options) => remote(await globalThis.host("proxy", options)),
  };
  const { WebSocket, sessionStorage } = globalThis;
  sessionStorage.clear();
  const client = { name: target, version, transport, Socket, LongPoll, Presence, WebSocket, sessionStorage };
  return attempt(cases, name, client, world);
}

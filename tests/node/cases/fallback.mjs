// What becomes of a client that may fall back to long polling.

import assert from "node:assert/strict";

import { answer, Events, joined, joins } from "../harness.mjs";

class Storage {
  #items = new Map();

  getItem = (name) => this.#items.get(name) ?? null;
  setItem = (name, value) => this.#items.set(name, value);
}

// A socket with a memory of its own; Events of what it says about its transport.
function socketThatMayFallBack(t, options, path, url) {
  const said = new Events("the client speaks of its transport");
  const sessionStorage = options.sessionStorage ?? t.sessionStorage ?? new Storage();
  const logger = (kind, message, data) => {
    t.note(`${kind}: ${message} ${JSON.stringify(data) ?? ""}`);
    if (kind === "transport") said.add(String(message));
  };
  const socket = t.socket({ transport: t.WebSocket, sessionStorage, logger, ...options }, path, url);
  return { socket, said, sessionStorage };
}

async function worksOver(t, socket, transport) {
  const channel = await joined(socket, t.topic());
  assert.equal((await answer(channel.push("connected_with", {})))[1].transport, transport);
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  return channel;
}

export async function refused_websocket_becomes_long_polling(t) {
  const { socket, sessionStorage } = socketThatMayFallBack(t, { longPollFallbackMs: 10_000 }, "/polled");
  socket.connect();
  await socket.opened.next();
  await worksOver(t, socket, "longpoll");
  assert.equal(sessionStorage.getItem("phx:fallback:LongPoll"), "true");
}

export async function websocket_that_never_opens_becomes_long_polling(t) {
  const proxy = await t.proxy({ swallows: "/websocket" });
  const { socket } = socketThatMayFallBack(t, { longPollFallbackMs: 200 }, "/socket", proxy.url);
  // Joined before there is a connection: the join must not be lost on the way from one transport to the other.
  const channel = socket.channel(t.topic());
  const entered = answer(channel.join());
  const early = answer(channel.push("connected_with", {}));
  socket.connect();
  assert.deepEqual(await entered, ["ok", {}]);
  assert.equal((await early)[1].transport, "longpoll");
}

export async function websocket_that_answers_no_ping_becomes_long_polling(t) {
  const proxy = await t.proxy({ mutes: true });
  const { socket, said, sessionStorage } = socketThatMayFallBack(t, { longPollFallbackMs: 1500 }, "/socket", proxy.url);
  socket.connect();
  await said.find((message) => message === "established LongPoll fallback");
  await worksOver(t, socket, "longpoll");
  assert.equal(sessionStorage.getItem("phx:fallback:LongPoll"), "true");
}

export async function websocket_that_answers_the_ping_stays(t) {
  const { socket, said, sessionStorage } = socketThatMayFallBack(t, { longPollFallbackMs: 10_000 });
  socket.connect();
  await said.find((message) => message.startsWith("connected to primary after"));
  const channel = await worksOver(t, socket, "websocket");
  const rejoined = joins(channel);
  await rejoined.next();
  assert.equal(sessionStorage.getItem("phx:fallback:LongPoll"), null);
}

export async function fallback_is_remembered(t) {
  const first = socketThatMayFallBack(t, { longPollFallbackMs: 10_000 }, "/polled");
  first.socket.connect();
  await first.socket.opened.next();
  let tried = 0;
  class Counted extends t.WebSocket {
    constructor(...args) {
      super(...args);
      tried++;
    }
  }
  const second = socketThatMayFallBack(t, {
    longPollFallbackMs: 10_000,
    transport: Counted,
    sessionStorage: first.sessionStorage,
  });
  second.socket.connect();
  await second.socket.opened.next();
  await worksOver(t, second.socket, "longpoll");
  assert.equal(tried, 0);
}

export async function token_goes_along(t) {
  const proxy = await t.proxy({ swallows: "/websocket" });
  const { socket } = socketThatMayFallBack(t, { longPollFallbackMs: 200, authToken: "some.token" }, "/token", proxy.url);
  socket.connect();
  await socket.opened.next();
  const channel = await joined(socket, t.topic());
  const [, { token, transport }] = await answer(channel.push("connected_with", {}));
  assert.deepEqual([token, transport], ["some.token", "longpoll"]);
}

// The token that the client does not put into the URL.

import assert from "node:assert/strict";

import { answer, joined } from "../harness.mjs";

const TOKEN = "SFMyNTY.g2gDYQFuBgAAaOXPiwFiAAFRgA.pVQyJhbbKrMTF7SPAEhhkeN36zPMMdTQxpZfdHyYVQA";

async function tokenOf(t, socket) {
  const channel = await joined(socket, t.topic());
  const [, { token }] = await answer(channel.push("connected_with", {}));
  return token;
}

export async function token_arrives(t) {
  const socket = await t.connected({ authToken: TOKEN }, "/token");
  assert.equal(await tokenOf(t, socket), TOKEN);
  if (!t.longpoll) assert.equal(socket.conn.protocol, "phoenix");
}

export async function no_token_is_none(t) {
  assert.equal(await tokenOf(t, await t.connected({}, "/token")), null);
}

export async function token_is_asked_for_on_every_connect(t) {
  const tokens = ["bad", "bad", "a.good-one_"];
  const socket = t.socket({ authToken: () => tokens.shift() }, "/token");
  socket.connect();
  for (let n = 0; n < 2; n++) await t.refusal(socket);
  await socket.opened.next();
  assert.equal(await tokenOf(t, socket), "a.good-one_");
}

export async function token_of_a_mount_that_wants_none_is_ignored(t) {
  // A browser, and the client for Node, fail when they offer a subprotocol and none is chosen: what they say is theirs.
  const socket = t.socket({ authToken: TOKEN });
  socket.connect();
  if (t.longpoll) assert.equal(await tokenOf(t, socket), null);
  else await socket.failed.next();
}

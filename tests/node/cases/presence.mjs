// What the client makes of presences that the server tells it (P-150).

import assert from "node:assert/strict";

import { answer, Events, joined, joins } from "../harness.mjs";

const metas = (...refs) => ({ metas: refs.map((phx_ref) => ({ phx_ref })) });
const state = (payload) => ({ event: "presence_state", payload });
const diff = (joins, leaves = {}) => ({ event: "presence_diff", payload: { joins, leaves } });

async function observed(t) {
  const channel = await joined(await t.connected(), t.topic());
  const presence = new t.Presence(channel);
  const syncs = new Events("presences are synced");
  presence.onSync(() => syncs.add(presence.list((key, { metas }) => [key, ...metas.map(({ phx_ref }) => phx_ref)])));
  return { channel, syncs };
}

export async function presences_are_kept_in_step(t) {
  const { channel, syncs } = await observed(t);
  const messages = [
    // It waits for the state.
    diff({ grace: metas("3") }),
    state({ ada: metas("1") }),
    diff({ ada: metas("2") }),
    diff({ ada: metas("4") }, { ada: metas("1") }),
    diff({}, { grace: metas("3"), nobody: metas("9") }),
  ];
  assert.deepEqual(await answer(channel.push("push_each", { messages })), ["ok", {}]);
  assert.deepEqual(await syncs.next(), [["ada", "1"], ["grace", "3"]]);
  assert.deepEqual(await syncs.next(), [["ada", "1", "2"], ["grace", "3"]]);
  assert.deepEqual(await syncs.next(), [["ada", "2", "4"], ["grace", "3"]]);
  assert.deepEqual(await syncs.next(), [["ada", "2", "4"]]);
}

export async function presences_begin_anew_with_a_rejoin(t) {
  const { channel, syncs } = await observed(t);
  const rejoined = joins(channel);
  await rejoined.next();
  await answer(channel.push("push_each", { messages: [state({ ada: metas("1") })] }));
  assert.deepEqual(await syncs.next(), [["ada", "1"]]);
  channel.push("crash", {});
  await rejoined.next();
  const messages = [diff({ grace: metas("3") }), state({ linus: metas("2") })];
  assert.deepEqual(await answer(channel.push("push_each", { messages })), ["ok", {}]);
  assert.deepEqual(await syncs.next(), [["linus", "2"], ["grace", "3"]]);
}

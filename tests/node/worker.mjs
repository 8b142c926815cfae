// Runs the cases of one version of the client, side by side. Each has its own globals, as each page has in a browser.

import { parentPort, workerData } from "node:worker_threads";
import WebSocket from "ws";

import { load } from "./browser.mjs";
import * as cases from "./cases/index.mjs";
import { attempt, inParallel } from "./harness.mjs";
import { World } from "./network.mjs";

const AT_ONCE = 12; // with more of them, what is a moment for one lasts seconds

const { version, runs, applications, launch } = workerData;
const { Socket, LongPoll, Presence } = await load(version);

async function run({ target, server, transport, name }) {
  const world = new World(launch, server, applications[server]);
  const client = { name: target, version, transport, Socket, LongPoll, Presence, WebSocket };
  const result = await attempt(cases, name, client, world);
  await world.end();
  parentPort.postMessage(result);
}

await inParallel(AT_ONCE, runs, run);
process.exit();

// Runs cases and writes one JSON line for each: {"target", "name", "ok", "ms", "error", "log"}. What to do is read from
// stdin:
//
//   {"launch": {"command": ["python", "-m", "tests.node.app"], "directory": "../.."},
//    "runs": [{"target": "a name", "version": "1.8.16", "server": "uvicorn", "transport": "websocket", "runtime": "node",
//              "name": "connects"}],
//    "chromium": "/usr/bin/chromium"}
//
// There is one application for each server, one worker for each version of the client in Node, and one Chromium.

import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";

import { runInChromium } from "./chromium.mjs";
import { inParallel } from "./harness.mjs";
import { Application } from "./network.mjs";

const AT_ONCE = 2; // more of them, and none gets anything done in time

const { launch, runs, chromium } = JSON.parse(readFileSync(0));

const applications = {};
for (const { server } of runs) applications[server] ??= Application.start(launch, server);
for (const server of Object.keys(applications)) applications[server] = await applications[server];

const works = { chromium: [] };
for (const run of runs) (works[run.runtime === "node" ? run.version : "chromium"] ??= []).push(run);
await inParallel(AT_ONCE, Object.entries(works), ([name, runs]) => {
  if (runs.length === 0) return undefined;
  return name === "chromium" ? runInChromium(chromium, runs, applications, launch, report) : work(name, runs);
});
await Promise.all(Object.values(applications).map((application) => application.end("SIGTERM")));

function work(version, runs) {
  const addresses = Object.fromEntries(Object.entries(applications).map(([name, { url, port }]) => [name, { url, port }]));
  const worker = new Worker(new URL("worker.mjs", import.meta.url), {
    workerData: { version, runs, applications: addresses, launch },
  });
  worker.on("message", report);
  worker.on("error", (error) => console.error(`phoenix ${version}: ${error.stack ?? error}`));
  return new Promise((resolve) => worker.on("exit", resolve));
}

function report(result) {
  console.log(JSON.stringify(result));
}

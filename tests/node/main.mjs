// Runs cases side by side and writes one JSON line for each: {"name", "ok", "ms", "error", "log"}.
//
//   node main.mjs '{"url": "ws://127.0.0.1:4100", "command": ["python", "app.py", "--port"]}' [CASE...]
//   node main.mjs --list
//
// "command", followed by a port, starts a further application of the same kind, for the cases that end theirs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import * as cases from "./cases.mjs";
import { Case, within } from "./harness.mjs";

if (process.argv[2] === "--list") {
  console.log(Object.keys(cases).join("\n"));
  process.exit();
}
const { url, command } = JSON.parse(process.argv[2]);
const names = process.argv.length > 3 ? process.argv.slice(3) : Object.keys(cases);

class Application {
  static async start(port) {
    const [program, ...args] = [...command, String(port)];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await within("the application starts", once(createInterface(child.stdout), "line"), 20_000);
    return new Application(child, JSON.parse(line).port);
  }

  constructor(child, port) {
    this.child = child;
    this.port = port;
    this.url = `ws://127.0.0.1:${port}`;
  }

  async end(signal) {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await within(`the application ends on ${signal}`, gone);
  }
}

async function run(name) {
  const t = new Case(name, url);
  const applications = [];
  t.server = async (port = 0) => {
    applications.push(await Application.start(port));
    return applications.at(-1);
  };
  const started = performance.now();
  const result = { name, ok: true };
  try {
    if (!(name in cases)) throw new Error("there is no such case");
    await cases[name](t);
  } catch (error) {
    Object.assign(result, { ok: false, error: error.stack, log: t.log });
  } finally {
    t.end();
    await Promise.all(applications.map((application) => application.end("SIGKILL")));
  }
  console.log(JSON.stringify({ ...result, ms: Math.round(performance.now() - started) }));
}

await Promise.all(names.map(run));
process.exit();

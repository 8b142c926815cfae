// Runs the cases of the newest client in Chromium, in a few pages; the same files as in Node.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { chromium } from "playwright-core";

import { inParallel } from "./harness.mjs";
import { World } from "./network.mjs";

const AT_ONCE = 6;
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const PAGE = `<!doctype html><script type="importmap">
  {"imports": {"phoenix": "/node_modules/phoenix/priv/static/phoenix.mjs", "node:assert/strict": "/assert.mjs"}}
</script>`;

function serveFiles(request, response) {
  const file = new URL(`.${request.url}`, import.meta.url);
  if (request.url === "/") response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
  else
    readFile(file).then(
      (text) => response.writeHead(200, { "content-type": "text/javascript" }).end(text),
      () => response.writeHead(404).end(),
    );
}

export async function runInChromium(executablePath, runs, applications, launch, report) {
  const files = createServer(serveFiles).listen(0, "127.0.0.1");
  await once(files, "listening");
  const browser = await chromium.launch({ executablePath, args: ARGS });
  const free = await Promise.all(
    Array.from({ length: AT_ONCE }, () => Page.open(browser, `http://127.0.0.1:${files.address().port}/`)),
  );
  try {
    await inParallel(AT_ONCE, runs, async (run) => {
      const page = free.pop();
      report(await page.run(run, new World(launch, run.server, applications[run.server])));
      free.push(page);
    });
  } finally {
    await browser.close();
    files.close();
  }
}

// Runs one case after the other. Its context is like a browser of its own: it has six connections to a host for itself,
// and a sessionStorage.
class Page {
  static async open(browser, url) {
    const context = await browser.newContext();
    const page = new Page();
    page.page = await context.newPage();
    page.page.on("pageerror", (error) => page.fail(error));
    await page.page.exposeFunction("host", (what, ...args) => page.#host(what, ...args));
    await page.page.goto(url);
    return page;
  }

  async run(run, world) {
    this.world = world;
    const failed = new Promise((_, reject) => (this.fail = reject));
    try {
      const task = { ...run, url: world.url };
      const done = this.page.evaluate(async (task) => (await import("/page.mjs")).run(task), task);
      return await Promise.race([done, failed]);
    } catch (error) {
      return { target: run.target, name: run.name, ok: false, error: error.stack, log: [] };
    } finally {
      await world.end();
    }
  }

  // What a page asks of this side; undefined becomes null on the way.
  async #host(what, ...args) {
    if (what === "call") {
      const [id, method, ...rest] = args;
      return (await this.world.resources[id][method](...rest)) ?? null;
    }
    const { url, port } = await this.world[what](...args.map((arg) => arg ?? undefined));
    return { id: this.world.resources.length - 1, url, port };
  }
}

// Runs one scenario in a headless Chromium: node run.mjs <scenario> <url of the example> <folder for screenshots> <chromium>
// The one thing a scenario cannot do itself, being rude to the server, it asks of its parent: see `host`.

import { once } from "node:events"
import { createInterface } from "node:readline"
import { chromium } from "playwright-core"
import * as scenarios from "./scenarios.mjs"

const [name, url, screenshots, executablePath] = process.argv.slice(2)
const parent = createInterface({ input: process.stdin })

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
})
const complaints = []
setTimeout(() => { console.log("the scenario takes too long"); process.exit(1) }, 100_000).unref()

/** A user's window: a context of its own, as another browser would be. */
async function open(user, { width = 900, height = 900, dark = false, context } = {}) {
  context ??= await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" })
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  page.on("pageerror", (error) => complaints.push(`${user}: ${error.stack}`))
  page.on("dialog", (dialog) => (complaints.push(`${user}: a dialog appeared`), dialog.dismiss()))
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) complaints.push(`foreign: ${request.url()}`)
  })
  await page.goto(user ? `${url}/?user=${user}` : url)
  return page
}

/** Ask the parent for something and wait until it is done. */
async function host(request) {
  console.log(`@${request}`)
  const gone = once(parent, "close").then(() => { throw new Error("the parent has gone") })
  await Promise.race([once(parent, "line"), gone])
}

try {
  await scenarios[name]({ open, host, screenshot: (page, file) => page.screenshot({ path: `${screenshots}/${file}.png`, animations: "disabled" }) })
  if (complaints.length) throw new Error(complaints.join("\n"))
} finally {
  await browser.close()
  parent.close()
}

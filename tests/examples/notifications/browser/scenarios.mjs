// What people do with the page, and what they then see. Every wait is for a condition.

import assert from "node:assert/strict"

const whole = (text) => new RegExp(`^${text}$`)
const badge = (page, count) => page.locator("#badge", { hasText: whole(count) }).waitFor()
const noBadge = (page) => page.locator("#badge").waitFor({ state: "hidden" })
const live = (page) => page.locator("#connection", { hasText: "Live" }).waitFor()
const item = (page, text) => page.getByRole("listitem").filter({ hasText: text })
const error = (page, text) => page.locator("#composer-error", { hasText: text }).waitFor()

async function stats(page, approved, rejected, pending) {
  for (const [id, value] of Object.entries({ approved, rejected, pending })) {
    await page.locator(`dd#${id}`, { hasText: whole(value) }).waitFor()
  }
}

async function post(page, text) {
  await page.getByRole("textbox").fill(text)
  await page.getByRole("button", { name: "Post", exact: true }).click()
}

/** Choosing a person on the first page leads to that person's inbox. */
export async function picker({ open, screenshot }) {
  const page = await open("")
  await page.getByRole("heading", { name: "Who are you?" }).waitFor()
  await screenshot(page, "picker")
  await page.getByRole("link", { name: "Grace Hopper" }).click()
  await live(page)
  await page.getByText("Nothing yet.").waitFor()
  await stats(page, 0, 0, 0)
  assert.equal(await page.title(), "Grace Hopper")
  await page.getByRole("link", { name: "Switch" }).click()
  await page.getByRole("link", { name: "Ada Lovelace" }).waitFor()

  const stranger = await open("bob")
  await stranger.getByRole("alert").filter({ hasText: "There is nobody called bob." }).waitFor()
}

/** A mention appears for the other at once, the badge counts up, a decision moves the author's numbers. */
export async function mention({ open, screenshot }) {
  const ada = await open("ada")
  const grace = await open("grace")
  await live(ada)
  await live(grace)

  await post(ada, "@grace the compiler finds your moth again, have a look?")
  await item(grace, "finds your moth again").waitFor()
  await badge(grace, 1)
  await stats(ada, 0, 0, 1)
  await ada.getByText("Sent to Grace.").waitFor()
  assert.equal(await grace.title(), "(1) Grace Hopper")

  await post(ada, "@grace @linus the notes on the engine are ready for review")
  await badge(grace, 2)
  await stats(ada, 0, 0, 3)
  await ada.getByText("Sent to Grace and Linus.").waitFor()
  await post(grace, "@Ada, Bernoulli numbers by Friday? Mail me: grace@example.com")
  await badge(ada, 1)
  await screenshot(ada, "mention-ada")
  await screenshot(grace, "mention-grace")

  await item(grace, "notes on the engine").getByRole("button", { name: "Approve" }).press("Enter")
  await item(grace, "notes on the engine").getByText("approved").waitFor()
  assert.match(await grace.locator(":focus").textContent(), /notes on the engine/) // not lost with the button
  await stats(ada, 1, 0, 2)
  await badge(grace, 1)
  await item(grace, "finds your moth").getByRole("button", { name: "Reject" }).click()
  await stats(ada, 1, 1, 1)
  await noBadge(grace)
  assert.equal(await grace.title(), "Grace Hopper")
  await screenshot(ada, "approved-ada")
  await screenshot(grace, "approved-grace")
}

/** What one window of a user does, the other one follows. */
export async function tabs({ open }) {
  const ada = await open("ada")
  const one = await open("grace")
  const two = await open("grace", { context: one.context() })
  for (const page of [ada, one, two]) await live(page)
  for (const number of [1, 2, 3]) await post(ada, `@grace number ${number}`).then(() => badge(one, number))
  await badge(two, 3)

  await item(one, "number 2").getByRole("button", { name: "Mark read" }).click()
  await badge(two, 2)
  await item(two, "number 2").getByRole("button", { name: "Mark read" }).waitFor({ state: "detached" })
  await item(two, "number 1").getByRole("button", { name: "Mark read" }).waitFor()

  await item(two, "number 1").getByRole("button", { name: "Approve" }).click()
  await item(one, "number 1").getByText("approved").waitFor()
  await badge(one, 1)

  await one.getByRole("button", { name: "Mark all read" }).click()
  await noBadge(two)
  await two.getByRole("button", { name: "Mark read" }).waitFor({ state: "detached" })

  await one.getByRole("button", { name: "Ping all my windows" }).click()
  for (const page of [one, two]) await page.getByText("Ping from Grace Hopper").waitFor()
  assert.equal(await ada.getByText("Ping from Grace Hopper").count(), 0)
}

/** What the server refuses is explained where it was written; the text stays. */
export async function errors({ open, screenshot }) {
  const page = await open("ada")
  await live(page)
  const text = page.getByRole("textbox")

  await post(page, "   ")
  await error(page, "at least 1 character")
  await post(page, "@alan @bob come and see")
  await error(page, "Nobody is called @alan or @bob.")
  assert.equal(await text.inputValue(), "@alan @bob come and see")
  assert.equal(await text.getAttribute("aria-invalid"), "true")
  await screenshot(page, "error")
  await post(page, "@ada to myself")
  await error(page, "someone other than yourself")
  await post(page, `@grace ${"x".repeat(994)}`)
  await page.locator("#count.over", { hasText: "1,001 / 1,000" }).waitFor()
  await error(page, "at most 1000 characters")

  await text.fill("look")
  await page.getByRole("button", { name: "@grace" }).click()
  assert.equal(await text.inputValue(), "look @grace ")
  assert.equal(await page.locator("#composer-error").textContent(), "")
  await text.press("Control+Enter")
  await page.getByText("Sent to Grace.").waitFor()
  assert.equal(await text.inputValue(), "")
}

/** A text stays a text, whatever it looks like. */
export async function untrusted({ open }) {
  const ada = await open("ada")
  const grace = await open("grace")
  await live(grace)
  const attack = `@grace <img src=x onerror="alert(1)"><script>alert(2)</script> <b>@grace</b> &amp; "quoted"`
  await post(ada, attack)
  const body = item(grace, "onerror").locator(".body")
  await body.waitFor()
  assert.equal(await body.textContent(), attack)
  assert.deepEqual(await body.locator("*").evaluateAll((nodes) => nodes.map((node) => node.tagName)), ["MARK", "MARK"])
  assert.equal(await grace.evaluate(() => document.getElementById("announcer").textContent), `Ada Lovelace mentioned you: ${attack}`)
}

/** After the server was away, the page is back by itself and knows what it missed, even with another token. */
export async function reconnect({ open, host, screenshot }) {
  const grace = await open("grace")
  await live(grace)
  await noBadge(grace)
  await host("stop")
  await grace.locator("#connection", { hasText: "Reconnecting" }).waitFor()
  await screenshot(grace, "reconnecting")
  await host("post while it is away")
  await host("start")
  await live(grace)
  await item(grace, "while you were away").waitFor()
  await badge(grace, 1)

  await host("stop")
  await host("forget everything")
  await host("start")
  await live(grace)
  await noBadge(grace)
  await item(grace, "while you were away").waitFor({ state: "detached" })
}

/** The layout, in the sizes and the colours it is made for; two windows side by side. */
export async function layout({ open, screenshot }) {
  const pages = {
    "wide-light": await open("grace", { width: 1280, height: 860 }),
    "wide-dark": await open("grace", { width: 1280, height: 860, dark: true }),
    "narrow-light": await open("grace", { width: 390, height: 844 }),
    "narrow-dark": await open("grace", { width: 390, height: 844, dark: true }),
    "picker-dark": await open("", { width: 390, height: 844, dark: true }),
    "left-window": await open("ada", { width: 720, height: 860 }),
    "right-window": await open("grace", { width: 720, height: 860 }),
  }
  const [ada, grace] = [pages["left-window"], pages["right-window"]]
  await live(ada)
  await live(grace)
  const margaret = await open("margaret")
  await post(margaret, "@grace @linus the priority displays work: 1202 alarms are shed in order, and the landing goes on.")
  await badge(grace, 1)
  await post(ada, "@grace the compiler finds your moth again, have a look?")
  await badge(grace, 2)
  await item(grace, "1202").getByRole("button", { name: "Approve" }).click()
  await badge(grace, 1)
  await post(ada, "@grace @margaret @linus notes on the engine are up for review:\n– the loop of operation cards\n– the table for the Bernoulli numbers")
  await badge(grace, 2)
  await item(grace, "finds your moth").getByRole("button", { name: "Reject" }).click()
  await badge(grace, 1)
  await post(grace, "@ada @bob the tape is on your desk")
  await badge(ada, 1)
  await grace.getByText("Nobody is called @bob.").waitFor()
  await stats(ada, 0, 1, 3)
  for (const [name, page] of Object.entries(pages)) {
    if (name !== "picker-dark") await live(page)
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(wider <= 0, `${name} scrolls sideways by ${wider} pixels`)
    await screenshot(page, name)
  }
}

// What is on the screen. Texts that people wrote go in as text nodes only, never as HTML.

const $ = (id) => document.getElementById(id)
// As in mentions.py: \p{…} is Python's \w, and (?=(…))\1 takes the whole name or nothing.
const MENTION = /(?<![\p{L}\p{N}_@+%-])@(?=([\p{L}\p{N}_]+(?:-[\p{L}\p{N}_]+)*))\1(?!@)/gu

let me, people, act

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties)
  node.append(...children)
  return node
}

function avatar(user) {
  const node = element("span", { className: "avatar", ariaHidden: "true" }, user.name[0])
  node.dataset.user = user.id
  return node
}

const href = (user) => `?user=${encodeURIComponent(user.id)}`
const named = (id) => people.get(id) ?? { id, name: id }

export function picker(users, problem) {
  $("picker").hidden = false
  $("picker-error").textContent = problem
  $("people").replaceChildren(...[...users.values()].map((user) =>
    element("li", {}, element("a", { href: href(user) }, avatar(user), element("strong", {}, user.name), element("small", {}, `@${user.id}`))),
  ))
}

export function desk(user, users, actions) {
  ;[me, people, act] = [user, users, actions]
  const others = [...users.values()].filter((other) => other.id !== user.id)
  $("me").replaceChildren(avatar(user), element("span", {}, user.name), element("a", { href: "/" }, "Switch"))
  $("chips").replaceChildren(...others.map((other) => {
    const chip = element("button", { type: "button", className: "chip" }, avatar(other), `@${other.id}`)
    chip.onclick = () => mention(other)
    return chip
  }))
  $("others").replaceChildren(...others.flatMap((other, index) => [
    index === 0 ? "" : index < others.length - 1 ? ", " : " or ",
    element("a", { href: href(other), target: "_blank" }, other.name.split(" ")[0]),
  ]))
  $("same").href = href(user)
  $("text").placeholder = `@${others[0].id} have a look at this…`
  $("read-all").onclick = act.markAllRead
  $("ping").onclick = act.ping
  composer()
  for (const id of ["me", "connection", "desk"]) $(id).hidden = false
  setInterval(() => document.querySelectorAll("time").forEach(age), 20_000)
}

export function connection(state) {
  $("connection").dataset.state = state
  $("connection").textContent = { connecting: "Connecting…", online: "Live", lost: "Reconnecting…" }[state]
}

export function badge(unread) {
  for (const badge of document.querySelectorAll(".badge")) {
    badge.textContent = unread > 99 ? "99+" : unread
    badge.hidden = unread === 0
  }
  $("badge").ariaLabel = `${unread} unread`
  $("read-all").hidden = unread === 0
  document.title = unread ? `(${unread}) ${me.name}` : me.name
}

export function stats({ approved, rejected, pending }) {
  for (const [name, value] of Object.entries({ approved, rejected, pending })) {
    $(name).textContent = value
    const part = $("meter").querySelector(`.${name}`)
    part.style.flexGrow = value
    part.hidden = value === 0
  }
}

export function announce(text) {
  $("announcer").textContent = text
}

export function toast(text, kind = "good") {
  const node = element("p", { className: `toast ${kind}` }, text)
  node.onanimationend = ({ animationName }) => animationName === "leave" && node.remove()
  $("toasts").append(node)
}

// Each notification keeps its element as long as it is listed, so that focus and animations survive an update.
export function list(notifications) {
  const old = new Map([...$("list").children].map((item) => [Number(item.dataset.id), item]))
  const items = notifications.map((notification) => {
    const item = old.get(notification.id) ?? element("li", { tabIndex: -1 })
    const state = `${notification.status} ${notification.read ? "read" : "unread"}`
    if (item.dataset.state !== state) fill(item, notification, state)
    return item
  })
  for (const item of old.values()) if (!items.includes(item)) item.remove()
  items.forEach((item, index) => {
    const there = $("list").children[index]
    if (there !== item) $("list").insertBefore(item, there ?? null)
  })
  $("empty").hidden = notifications.length > 0
}

function fill(item, { id, body, author, status, read, at }, state) {
  const hadFocus = item.contains(document.activeElement)
  const sender = named(author)
  item.dataset.id = id
  item.dataset.state = state
  item.className = `item ${read ? "" : "unread"}`

  const when = element("time", { dateTime: new Date(at * 1000).toISOString() })
  age(when)
  const head = element("p", { className: "head" }, element("strong", {}, sender.name), " ", when)
  if (!read) head.append(element("span", { className: "dot" }, element("span", { className: "visually-hidden" }, "unread")))

  const buttons = element("p", { className: "actions" })
  const button = (label, className, action) => {
    const node = element("button", { type: "button", className }, label)
    node.setAttribute("aria-describedby", `body-${id}`)
    node.onclick = () => action(id)
    buttons.append(node)
  }
  if (status === "pending") {
    button("Approve", "approve", act.approve)
    button("Reject", "reject", act.reject)
  } else {
    buttons.append(element("span", { className: `verdict ${status}` }, status))
  }
  if (!read) button("Mark read", "quiet", act.markRead)

  item.replaceChildren(avatar(sender), element("div", {}, head, element("p", { className: "body", id: `body-${id}` }, ...highlighted(body)), buttons))
  if (hadFocus) item.focus() // the button that had it is gone
}

function highlighted(body) {
  const parts = []
  let end = 0
  for (const match of body.matchAll(MENTION)) {
    const id = match[1].toLowerCase()
    if (!people.has(id)) continue
    parts.push(body.slice(end, match.index), element("mark", { className: id === me.id ? "self" : "" }, match[0]))
    end = match.index + match[0].length
  }
  return [...parts, body.slice(end)]
}

function age(time) {
  const seconds = Math.max(0, (Date.now() - new Date(time.dateTime)) / 1000)
  const [unit, size] = [["day", 86_400], ["hour", 3_600], ["minute", 60]].find(([, size]) => seconds >= size) ?? []
  time.textContent = unit ? new Intl.RelativeTimeFormat("en").format(-Math.floor(seconds / size), unit) : "just now"
}

function mention({ id }) {
  const text = $("text")
  const before = text.value.slice(0, text.selectionStart)
  text.setRangeText(`${before && !/\s$/.test(before) ? " " : ""}@${id} `, text.selectionStart, text.selectionEnd, "end")
  text.dispatchEvent(new Event("input"))
  text.focus()
}

function composer() {
  const [form, text] = [$("composer"), $("text")]
  const invalid = (message) => {
    $("composer-error").textContent = message
    text.ariaInvalid = String(message !== "")
  }
  text.oninput = () => {
    const length = [...text.value.trim()].length
    $("count").textContent = `${length.toLocaleString("en")} / 1,000`
    $("count").classList.toggle("over", length > 1000)
    $("sent").textContent = ""
    invalid("")
  }
  text.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit()
  }
  form.onsubmit = async (event) => {
    event.preventDefault()
    if (form.ariaBusy === "true") return
    form.ariaBusy = "true"
    try {
      const { notified, unknown } = await act.post(text.value)
      text.value = ""
      text.oninput()
      $("sent").textContent = [`Sent to ${names(notified)}.`, nobody(unknown)].join(" ")
    } catch (error) {
      invalid(explained(error.detail))
    } finally {
      form.ariaBusy = "false"
      text.focus()
    }
  }
  text.oninput()
}

const names = (ids) => new Intl.ListFormat("en").format(ids.map((id) => named(id).name.split(" ")[0]))
const nobody = (ids) => (ids.length ? `Nobody is called ${new Intl.ListFormat("en", { type: "disjunction" }).format(ids.map((id) => `@${id}`))}.` : "")

function explained(detail) {
  if (detail === undefined) return "The post was not sent: the server does not answer."
  if (typeof detail === "string") return detail
  return [nobody(detail.unknown), detail.message].join(" ").trim()
}

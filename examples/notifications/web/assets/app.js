// The page: one socket, two channels, and what they say kept on the screen.
// The channels tell every window of a user the same, so nothing is changed here before the server says so.

import { Socket } from "phoenix"
import * as view from "./view.js"

const NEWEST = 20 // as many as a join replies with

const userId = new URLSearchParams(location.search).get("user")

async function request(path, { token, body } = {}) {
  const headers = {}
  if (body) headers["content-type"] = "application/json"
  if (token) headers.authorization = `Bearer ${token}`
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) })
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw Object.assign(new Error(response.statusText), { detail: answer.detail })
  return answer
}

// This stands for a login. A real page would get its token from the session it is served in.
const login = () => request("/demo/login", { body: { user: userId } })

function run(user, users, token) {
  // Where a proxy swallows WebSockets, phoenix.js changes to long polling.
  const socket = new Socket("/socket", { params: () => ({ token }), longPollFallbackMs: 2500 })
  socket.onOpen(() => view.connection("online"))
  socket.onClose(() => view.connection("lost"))
  // The token may have become invalid while the connection was away: the next attempt has a new one.
  socket.onError(() => login().then((answer) => (token = answer.token), () => {}))

  const inbox = socket.channel(`notifications:${user.id}`)
  let notifications = []

  const show = (unread, list) => {
    notifications = list.slice(0, NEWEST)
    view.list(notifications)
    view.badge(unread)
  }
  const set = (notification) => {
    const others = notifications.filter((other) => other.id !== notification.id)
    notifications = [...others, notification].sort((a, b) => b.id - a.id).slice(0, NEWEST)
    view.list(notifications)
  }

  inbox.on("inbox", ({ unread, notifications }) => show(unread, notifications))
  inbox.on("changed", set)
  inbox.on("unread", ({ unread }) => {
    if (unread === 0) view.list((notifications = notifications.map((one) => ({ ...one, read: true }))))
    view.badge(unread)
  })
  inbox.on("new_notification", ({ id, body, author, unread }) => {
    if (id === undefined) return view.toast(body) // from a window of one's own: nothing that is stored
    set({ id, body, author, status: "pending", read: false, at: Date.now() / 1000 })
    view.badge(unread)
    view.announce(`${users.get(author)?.name ?? author} mentioned you: ${body}`)
  })
  // Runs after every join, so after each reconnect too: what was missed in between is in the reply.
  inbox.join()
    .receive("ok", ({ unread, notifications }) => show(unread, notifications))
    .receive("error", ({ reason }) => view.toast(`The inbox is closed: ${reason}`, "bad"))

  const push = (event, payload) =>
    inbox.push(event, payload)
      .receive("error", ({ reason }) => view.toast(`That did not work: ${reason}`, "bad"))
      .receive("timeout", () => view.toast("The server does not answer.", "bad"))

  const approvals = socket.channel(`user_approval_stats:${user.id}`)
  approvals.on("stats", view.stats)
  approvals.join().receive("ok", view.stats)

  view.desk(user, users, {
    approve: (id) => push("approve", { id }),
    reject: (id) => push("reject", { id }),
    markRead: (id) => push("mark_read", { id }),
    markAllRead: () => push("mark_read", { all: true }),
    ping: () => push("new_notification", { body: `Ping from ${user.name}, to every window of theirs` }),
    post: (text) => request("/posts", { token, body: { text } }),
  })
  view.connection("connecting")
  socket.connect()
}

async function start() {
  const users = new Map((await request("/demo/users")).map((user) => [user.id, user]))
  if (!users.has(userId)) {
    view.picker(users, userId === null ? "" : `There is nobody called ${userId}.`)
    return
  }
  const { token } = await login()
  run(users.get(userId), users, token)
}

start().catch(() => view.picker(new Map(), "The server does not answer. Reload to try again."))

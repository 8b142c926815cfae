// Puts the steps of every case (JSON on stdin) to phoenix.js, and prints what it told and who was there (JSON).

import {Presence} from "phoenix"
import {readFileSync} from "node:fs"

const cases = JSON.parse(readFileSync(0, "utf8"))
process.stdout.write(JSON.stringify(cases.map(run)))

function run(steps) {
  const bindings = {}
  let joinRef = null
  const presence = new Presence({
    on: (event, callback) => (bindings[event] = callback),
    joinRef: () => joinRef,
  })
  let result
  // Copies, because phoenix.js goes on to change what it hands out.
  presence.onJoin((key, before, joined) => result.news.push(structuredClone(["joined", key, before ?? null, joined])))
  presence.onLeave((key, after, left) => result.news.push(structuredClone(["left", key, after, left])))
  presence.onSync(() => (result.synced = true))
  return steps.map(step => {
    result = {news: [], synced: false}
    joinRef = step.join_ref
    bindings[`presence_${step.event}`](step.payload)
    result.list = structuredClone(presence.list((key, present) => [key, present]))
    return result
  })
}

/** What a broker lives through: each plays on a stage of its own. */
import { setTimeout as sleep } from "node:timers/promises"
import { present } from "../../apps/broker/test/wire/Client.ts"
import { watch } from "../../apps/broker/test/wire/Dashboard.ts"
import { identity, registration } from "../../apps/broker/test/wire/Gateway.ts"
import { beat, live, type Member, prove, seed } from "./Fleet.ts"
import type { Result } from "./Result.ts"
import type { Stage } from "./Stage.ts"
import { atOnce, atPace, until } from "./time.ts"

interface Scenario {
  readonly title: string
  readonly play: (name: string, stage: Stage) => Promise<Result>
}

const endOf = ({ options }: Stage) => performance.now() + options.seconds * 1_000

const steady = (stage: Stage, members: ReadonlyArray<Member>, end: number) =>
  live(stage.http, stage.recorder, stage.audience, members, stage.options.interval, end)

const fleet = async (stage: Stage) => {
  stage.say(`Putting ${stage.options.servers} servers into the database …`)
  return seed(stage.database, stage.options.servers)
}

/** Joins, proves its key, and beats once: what a new server does. */
const joinOnce = async (stage: Stage, key: string, name: string, due: number) => {
  const { audience, http, recorder } = stage
  const by = identity()
  const body = registration({ url: stage.url, audience }, key, name, by)
  const answer = await http.ask("POST", "/api/v1/servers", { bearer: key, body })
  recorder.note("registration", due, answer)
  if (answer.status !== 201) return
  const { challenge, server, token } = JSON.parse(answer.text)
  const member: Member = { id: server.id, token, identity: by, bootId: crypto.randomUUID(), seq: 0 }
  if (challenge !== null) await prove(http, recorder, audience, member, challenge)
  await beat(http, recorder, audience, member, performance.now())
}

/** Users with a client each, signed in by a personal key. */
const clients = async (stage: Stage, cookie: string, count: number) => {
  stage.say(`Signing ${count} clients in …`)
  const signedIn: Array<string> = []
  for (let n = 0; n < count; n++) {
    const { id: userId } = await stage.act(cookie, "users.create", { name: `User ${n}`, email: null, note: "" })
    const { key = "" } = await stage.act(cookie, "personalKeys.create", {
      userId,
      name: "bench",
      expiresInSeconds: null,
      connectionLimit: 1_000
    })
    signedIn.push((await present(stage, key)).token)
  }
  return signedIn
}

/** Questions that clients ask, of which no two in a row are the same. */
const questions = [
  (n: number) => `tag=region-${n % 20}`,
  (n: number) => `tag=even&label=rack:r${(n * 2) % 20}`,
  (n: number) => `near=${(n * 7) % 90},${(n * 13) % 180}&limit=10`,
  (n: number) => `capability=vpn&minVersion=1.4.${n % 20}`,
  (n: number) => `q=server-0${n % 10}&limit=20`
]

const discover = async (stage: Stage, token: string, n: number, due: number) => {
  const question = questions[n % questions.length]?.(n) ?? ""
  const answer = await stage.http.ask("GET", `/api/v1/servers?${question}`, { bearer: token })
  stage.recorder.note("discovery", due, answer)
}

const connect = async (stage: Stage, token: string, due: number) => {
  const body = { select: { tag: ["even"] } }
  const answer = await stage.http.ask("POST", "/api/v1/connections", { bearer: token, body })
  stage.recorder.note("connection", due, answer)
}

const list = (fields: object) =>
  `servers.list?input=${encodeURIComponent(
    JSON.stringify({
      text: "",
      statuses: [],
      tags: [],
      verified: null,
      sort: "name",
      limit: 50,
      cursor: null,
      ...fields
    })
  )}`

/** What a page of the dashboard asks for. */
const pages = [
  "fleet.overview",
  list({}),
  list({ text: "tag:even version:<1.4.9", sort: "-lastSeen" }),
  list({ statuses: ["offline"] }),
  list({ sort: "-load" }),
  "groups.tree"
]

/** So many sessions, one after the other: whoever signs in costs more than whoever looks. */
const sessions = async (stage: Stage, count: number) => {
  stage.say(`Signing ${count} admins in …`)
  const cookies: Array<string> = []
  while (cookies.length < count) cookies.push(await stage.signIn())
  return cookies
}

/** Admins, each with a live page open, who look at another page every other second. */
const look = async (stage: Stage, cookies: ReadonlyArray<string>, members: ReadonlyArray<Member>, end: number) => {
  const { http, recorder } = stage
  const began = performance.now()
  const events = await Promise.all(
    cookies.map(async (cookie, at) => {
      const servers = Array.from({ length: 50 }, (_, n) => members[(at * 37 + n) % members.length]?.id)
      const watched = { overview: true, servers, joining: true, connections: [], connecting: true }
      const opening = performance.now()
      const stream = await watch(stage, cookie, watched)
      recorder.note("live stream", opening, { status: stream.status })
      for (let n = 0, due = began + (at / cookies.length) * 2_000; due < end; n++, due += 2_000) {
        await until(due)
        const path = pages[(at + n) % pages.length] ?? ""
        const answer = await http.ask("GET", `/rpc/${path}`, { cookie })
        recorder.note(`page ${path.split("?")[0]}`, due, answer)
      }
      stream.close()
      return stream.events.length
    })
  )
  const all = events.reduce((sum, one) => sum + one, 0)
  stage.notes.push(`${cookies.length} live streams brought ${all} events.`)
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  steady: {
    title: "Steady fleet: every server beats once an interval",
    play: async (name, stage) => {
      const members = await fleet(stage)
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        await steady(stage, members, endOf(stage))
      })
    }
  },
  registrations: {
    title: "Registration storm: servers join, prove their keys and beat, 32 at a time",
    play: async (name, stage) => {
      const { seconds, servers } = stage.options
      const key = await stage.registrationKey(await stage.signIn(), Math.min(servers, 10_000))
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        const end = performance.now() + seconds * 1_000
        await atOnce(32, async (n) => {
          if (n >= Math.min(servers, 10_000) || performance.now() > end) return false
          await joinOnce(stage, key, `new-${n}`, performance.now())
          return true
        })
      })
    }
  },
  reconnect: {
    title: "Reconnect: the broker is killed, and all servers come back within 5 s of its return",
    play: async (name, stage) => {
      const members = await fleet(stage)
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        const end = endOf(stage)
        await live(
          stage.http,
          stage.recorder,
          stage.audience,
          members,
          stage.options.interval,
          performance.now() + 5_000
        )
        await stage.outage(2_000)
        const back = performance.now()
        let [last, asked] = [back, 0]
        await Promise.all(
          members.map(async (member) => {
            await until(back + Math.random() * 5_000)
            for (let wait = 500; ; wait = Math.min(wait * 2, 8_000)) {
              asked++
              const answer = await beat(stage.http, stage.recorder, stage.audience, member, performance.now())
              if (answer.status === 200 || performance.now() > end + 60_000) break
              await sleep(answer.retryAfter === undefined ? wait * (0.5 + Math.random()) : answer.retryAfter * 1_000)
            }
            last = Math.max(last, performance.now())
          })
        )
        stage.notes.push(
          `All ${members.length} servers were heard again ${((last - back) / 1_000).toFixed(1)} s after the broker was back, in ${asked} heartbeats.`
        )
        if (performance.now() < end) await steady(stage, members, end)
      })
    }
  },
  dashboard: {
    title: "Dashboard: 50 admins look at a fleet that beats",
    play: async (name, stage) => {
      const members = await fleet(stage)
      const cookies = await sessions(stage, 50)
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        const end = endOf(stage)
        await Promise.all([steady(stage, members, end), look(stage, cookies, members, end)])
      })
    }
  },
  discovery: {
    title: "Discovery burst: 64 clients ask for servers as fast as they are answered, and connect with every tenth",
    play: async (name, stage) => {
      const members = await fleet(stage)
      const tokens = await clients(stage, await stage.signIn(), 64)
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        const end = endOf(stage)
        await Promise.all([
          steady(stage, members, end),
          atOnce(tokens.length, async (n) => {
            const token = tokens[n % tokens.length] ?? ""
            const due = performance.now()
            if (n % 10 === 9) await connect(stage, token, due)
            else await discover(stage, token, n, due)
            return performance.now() < end
          })
        ])
      })
    }
  },
  mixed: {
    title:
      "Mixed: a fleet that beats, 5 servers that join each second, 20 clients' questions and 5 connections a second, 10 admins",
    play: async (name, stage) => {
      const members = await fleet(stage)
      const cookies = await sessions(stage, 10)
      const cookie = cookies[0] ?? ""
      const key = await stage.registrationKey(cookie, 10_000)
      const tokens = await clients(stage, cookie, 20)
      const tokenOf = (n: number) => tokens[n % tokens.length] ?? ""
      return stage.play(name, scenarios[name]?.title ?? name, async () => {
        const end = endOf(stage)
        await Promise.all([
          steady(stage, members, end),
          atPace(5, end, (due, n) => joinOnce(stage, key, `new-${n}`, due)),
          atPace(20, end, (due, n) => discover(stage, tokenOf(n), n, due)),
          atPace(5, end, (due, n) => connect(stage, tokenOf(n), due)),
          look(stage, cookies, members, end)
        ])
      })
    }
  }
}

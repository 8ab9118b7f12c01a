/**
 * Rules H2 to H6, J1 and V5 over a fleet. What counts as wrong is told in `Truth.ts`.
 *
 * One thing is left to whoever was silent already when many others fell silent: it runs out of time alone, before
 * anybody can tell that there will be many. It is given up on, and held like the others from when the guard begins.
 */
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Config, Effect, Option } from "effect"
import { type Bug, type Chapter, type Played, play } from "./Simulation.ts"
import { differences, type Fault, judge } from "./Truth.ts"

/** Another one each time; `SIMULATION_SEED` plays one again. */
const seed = Effect.gen(function* () {
  const given = yield* Config.option(Config.Int("SIMULATION_SEED"))
  const chosen = Option.getOrElse(given, () => Math.floor(Math.random() * 2 ** 31))
  console.log(`SIMULATION_SEED=${chosen}`)
  return chosen
})

/** As many as the rules are for; `SIMULATION_SIZE` plays with fewer, which is soon over. */
const wholeSize = Config.Int("SIMULATION_SIZE").pipe(Config.withDefault(5_000))

/** Whatever was wrong, and how often. */
const faultsOf = (played: Played) => Object.fromEntries(Object.entries(judge(played)).filter(([, times]) => times > 0))

layer(Fixtures.guarded, { timeout: 60_000 })("A simulated fleet", (it) => {
  it.effect(
    "H2 H3 H4 H5 H6 J1 V5 5,000 servers with faults of all kinds: nobody is wronged, and each event happens once",
    () =>
      Effect.gen(function* () {
        const played = yield* play({ seed: yield* seed, size: yield* wholeSize })
        const { gateways, guards, stored, sweeping } = played
        console.log(
          JSON.stringify({
            heard: gateways.reduce((sum, { heard }) => sum + heard.length, 0),
            moves: [...stored.values()].reduce((sum, moves) => sum + moves.length, 0),
            dead: gateways.filter(({ diedAt }) => diedAt !== undefined).length,
            forked: gateways.filter(({ suspendedAt }) => suspendedAt !== undefined).length,
            sweeping,
            guards: guards.map(({ end }) => end)
          })
        )
        assert.deepStrictEqual(differences(played).slice(0, 2), [])
        assert.deepStrictEqual(faultsOf(played), {})
        // What it was all for took place.
        assert.strictEqual(sweeping.killed, 2)
        assert.isAbove(sweeping.overlapped, 0)
        assert.isAbove(guards.length, 0)
        assert.isAbove(gateways.filter(({ suspendedAt }) => suspendedAt !== undefined).length, 0)
      }),
    300_000
  )
})

/** As small as shares of it make sense. */
const size = 100

/** What a fault of the broker is found by, in as much of an afternoon as it takes. */
const isFoundOut = (
  bug: Bug,
  {
    found,
    ...part
  }: { readonly chapters: ReadonlyArray<Chapter>; readonly until?: number; readonly found: ReadonlyArray<Fault> }
) =>
  layer(Fixtures.guarded, { timeout: 60_000 })(`A simulated fleet, ${bug}`, (it) => {
    it.effect(
      `is found out by what was ${found.join(" and ")}`,
      () =>
        Effect.gen(function* () {
          const faults = faultsOf(yield* play({ seed: yield* seed, size, bug, ...part }))
          console.log(JSON.stringify(faults))
          assert.includeMembers(Object.keys(faults), [...found])
        }),
      300_000
    )
  })

isFoundOut("guard off", { chapters: ["cuts"], until: 9, found: ["wronged", "unguarded"] })
isFoundOut("grace off", { chapters: ["outage"], found: ["blamed"] })
isFoundOut("guard and grace off", { chapters: ["outage"], found: ["blamed", "wronged"] })
isFoundOut("events twice", { chapters: ["opening"], until: 2, found: ["repeated"] })
isFoundOut("flapping unseen", { chapters: ["opening", "calm"], found: ["differing", "restless"] })
isFoundOut("skew unseen", { chapters: ["opening"], found: ["differing", "unskewed"] })
isFoundOut("former boots forgotten", { chapters: ["opening", "calm"], until: 9, found: ["slandered"] })
isFoundOut("forks unseen", { chapters: ["opening", "calm"], until: 17, found: ["unseparated"] })
isFoundOut("fence open", { chapters: ["opening"], until: 1, found: ["doubled"] })
isFoundOut("claim given to all", { chapters: ["cuts"], until: 8, found: ["failed"] })

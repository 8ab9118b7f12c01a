import { extname } from "node:path"
import { Inventory } from "@broker/core/inventory/Inventory"
import {
  type InventoryChange,
  type InventoryEffect,
  InventoryFormat,
  type InventoryPlan
} from "@broker/domain/Inventory"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { Effect, Option, Schema, Stream } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ended, usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { print, readText, writeNew } from "./files.ts"

interface Common {
  readonly dataDir: Option.Option<string>
}

/** Whoever may type commands may do everything. */
const importer = { organizationId: defaultOrganizationId, permissions: new Set(Permission.literals) }

/** How many lines of each kind people are shown. */
const shown = 50

/** Says how far it is, every so many characters. */
const step = 5_000_000

const telling = <E, R>(parts: Stream.Stream<string, E, R>) => {
  let [written, next] = [0, step]
  return Stream.tap(parts, (part) =>
    Effect.suspend(() => {
      written += part.length
      if (written < next) return Effect.void
      next = written + step
      return Output.note(`${Math.round(written / 1e6)} MB …`)
    })
  )
}

export const exportTo = (
  flags: Common & { readonly format: InventoryFormat; readonly output: Option.Option<string> }
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const inventory = yield* Inventory
      const parts = inventory.export(defaultOrganizationId, flags.format)
      yield* Option.isNone(flags.output) ? print(parts) : writeNew(flags.output.value, telling(parts))
    })
  )

const isFormat = Schema.is(InventoryFormat)

const formatOf = (file: string, given: Option.Option<InventoryFormat>) => {
  if (Option.isSome(given)) return Effect.succeed(given.value)
  const ending = extname(file).slice(1).toLowerCase()
  return isFormat(ending)
    ? Effect.succeed(ending)
    : Effect.fail(usage(`${file} ends neither with .json nor with .csv.`, "Say which it is with --format."))
}

const many = (count: number, noun: string) => `${count} ${noun}${count === 1 ? "" : "s"}`

const or = (text: string) => (text === "" ? "–" : text)

const changeLine = ({ after, before, field }: InventoryChange) => `${field}: ${or(before)} → ${or(after)}`

const rows = (effects: ReadonlyArray<InventoryEffect>, verb: string) =>
  effects
    .slice(0, shown)
    .map(({ changes, kind, line, name }) => [String(line), verb, `${kind} ${name}`, changes.map(changeLine).join(", ")])

/** Of each list so many are shown. */
const beyond = (...counts: ReadonlyArray<number>) => {
  const more = counts.reduce((sum, count) => sum + Math.max(0, count - shown), 0)
  return more > 0 ? [`… and ${more} more`] : []
}

/** What people read of a plan: problems, or what would be done. */
const told = ({ creates, ignored, problems, totals, updates }: InventoryPlan) => {
  if (problems.length > 0) {
    return [
      ...Output.table(
        ["LINE", "FIELD", "PROBLEM"],
        problems.slice(0, shown).map(({ field, line, message }) => [String(line), Output.or(field), message])
      ),
      ...beyond(totals.problems)
    ]
  }
  const effects = [...rows(creates, "create"), ...rows(updates, "change")]
  return [
    ...(effects.length === 0 ? [] : Output.table(["LINE", "WHAT", "OF", "FIELDS"], effects)),
    ...beyond(totals.creates, totals.updates),
    ...ignored.slice(0, 5).map(({ field, line, message }) => `Line ${line}: ${Output.or(field)} ${message}.`),
    ...(totals.ignored > 5 ? [`… and ${totals.ignored - 5} more that are left as they are`] : [])
  ]
}

const summary = ({ totals }: InventoryPlan) =>
  `${many(totals.rows, "row")}: ${totals.creates} to create, ${totals.updates} to change, ${totals.unchanged} as they are`

export const importFrom = Effect.fnUntraced(function* (
  flags: Common & {
    readonly file: string
    readonly format: Option.Option<InventoryFormat>
    readonly dryRun: boolean
    readonly json: boolean
  }
) {
  const format = yield* formatOf(flags.file, flags.format)
  const text = yield* readText(flags.file)
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const inventory = yield* Inventory
      yield* Output.note(`Reading ${flags.file} …`)
      const plan = yield* inventory.plan(importer, format, text)
      if (plan.digest === null) {
        yield* Output.either(flags.json, plan, told(plan))
        yield* Output.note("", `${many(plan.totals.problems, "problem")}: nothing was done.`)
        return yield* new Ended({ code: ExitCode.usage })
      }
      if (flags.dryRun) {
        yield* Output.either(flags.json, plan, [...told(plan), `${summary(plan)}. Nothing was done.`])
        return
      }
      yield* Output.note(`${summary(plan)} …`)
      const done = yield* inventory.apply(importer, format, text, plan.digest)
      yield* Output.either(flags.json, done, [
        `Created ${done.created}, changed ${done.updated}; ${done.unchanged} were so already.`
      ])
    })
  )
})

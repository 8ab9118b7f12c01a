import { AgentEvent, describe, isWarning } from "@broker/client/AgentEvent"
import * as NodeAgent from "@broker/client/NodeAgent"
import { Console, DateTime, Effect, Fiber, FileSystem, Option, Redacted, Schema } from "effect"
import { ExitCode } from "../ExitCode.ts"
import { later } from "../later.ts"

interface Flags extends Omit<NodeAgent.Options, "key" | "tags" | "labels" | "endpoints" | "capabilities" | "location"> {
  readonly key: Option.Option<Redacted.Redacted<string>>
  readonly keyFile: Option.Option<string>
  readonly tags: ReadonlyArray<string>
  readonly labels: Record<string, string>
  readonly endpoints: ReadonlyArray<{ readonly protocol: string; readonly host: string; readonly port: number }>
  readonly capabilities: ReadonlyArray<string>
  readonly location: Option.Option<{ readonly latitude: number; readonly longitude: number }>
  readonly listen: Option.Option<{ readonly host: string; readonly port: number }>
  readonly json: boolean
}

/** What fails is told by the part that knows the server side, which an agent loads only then. */
const failed = (failure: { readonly code: ExitCode; readonly what: string; readonly remedy: string }) =>
  later(
    () => import("../Failure.ts"),
    ({ CommandFailed }) => Effect.fail(new CommandFailed(failure))
  )

const explain = (error: NodeAgent.AgentError) => {
  switch (error._tag) {
    case "Refused":
      return failed({ code: ExitCode.refused, what: `${error.detail} (${error.code})`, remedy: error.remedy })
    case "InvalidOptions":
      return failed({ code: ExitCode.usage, what: error.message, remedy: "See `broker agent --help`." })
    default:
      return failed({ code: ExitCode.usage, what: error.message, remedy: "--state-dir names another directory." })
  }
}

/** Plays a gateway, where that was asked for. */
const gateway = ({ listen }: Flags, onEvent: (event: AgentEvent) => Effect.Effect<void>) =>
  Option.match(listen, {
    onNone: () => Effect.undefined,
    onSome: ({ host, port }) =>
      later(
        () => import("../../demo/DemoGateway.ts"),
        (DemoGateway) => DemoGateway.listen({ host, port, onEvent })
      )
  })

const readKey = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.catchTag(fs.readFileString(path), "PlatformError", ({ message }) =>
    failed({
      code: ExitCode.usage,
      what: `The registration key cannot be read: ${message}`,
      remedy: "Check the path after --key-file."
    })
  )
  return Redacted.make(text.trim())
})

const encode = Schema.encodeEffect(AgentEvent)

const printJson = Effect.fnUntraced(function* (event: AgentEvent) {
  const { _tag, ...details } = yield* Effect.orDie(encode(event))
  yield* Console.log(JSON.stringify({ at: DateTime.formatIso(yield* DateTime.now), event: _tag, ...details }))
})

/** For people: of heartbeats only those that bring news. The last event is left to the failure that follows it. */
const printLines = () => {
  let standing = ""
  return Effect.fnUntraced(function* (event: AgentEvent) {
    if (event._tag === "Stopped") return
    if (event._tag === "Heartbeat") {
      const before = standing
      standing = `${event.liveness} ${event.admission}`
      if (before === standing) return
    }
    const line = `${DateTime.formatIso(yield* DateTime.now)} ${describe(event)}`
    yield* isWarning(event) ? Console.error(line) : Console.log(line)
  })
}

/** What is not given is not said, so that it stays as the registration key or an admin made it. */
const description = ({ capabilities, endpoints, labels, location, tags }: Flags) => ({
  ...(tags.length > 0 ? { tags } : {}),
  ...(Object.keys(labels).length > 0 ? { labels } : {}),
  ...(endpoints.length > 0 ? { endpoints } : {}),
  ...(capabilities.length > 0 ? { capabilities: Object.fromEntries(capabilities.map((name) => [name, {}])) } : {}),
  ...(Option.isSome(location) ? { location: location.value } : {})
})

export const agent = Effect.fnUntraced(function* (flags: Flags) {
  const { endpoints, json, key, keyFile, name, stateDir, url } = flags
  const onEvent = json ? printJson : printLines()
  const played = yield* gateway(flags, onEvent)
  const running = yield* Effect.forkScoped(
    NodeAgent.run({
      url,
      name,
      stateDir,
      key: Option.isSome(keyFile) ? yield* readKey(keyFile.value) : Option.getOrUndefined(key),
      ...description({ ...flags, endpoints: played === undefined ? endpoints : [...endpoints, played.endpoint] }),
      connections: played?.connections,
      onEvent
    })
  )
  return yield* Fiber.join(running).pipe(
    // Before the agent goes, it tells the broker that its connections are over.
    Effect.onInterrupt(() => played?.connections.leave("1 second") ?? Effect.void),
    Effect.catch(explain)
  )
}, Effect.scoped)

import { Admins } from "@broker/core/admins/Admins"
import { Admin, AdminName, NewPassword } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { BuiltInRole } from "@broker/domain/Permission"
import { Effect, Option, Redacted, Schema, Terminal } from "effect"
import { Prompt } from "effect/cli"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"

const nameOf = (argument: Option.Option<string>, flag: Option.Option<string>) =>
  Option.match(
    Option.orElse(argument, () => flag),
    {
      onNone: () => Effect.fail(usage("The admin's name is missing.", "Say it: `broker admin create NAME`.")),
      onSome: (name) =>
        Schema.decodeEffect(AdminName)(name.trim()).pipe(
          Effect.mapError(() => usage(`${JSON.stringify(name)} is no name for an admin.`, "Take 2 to 64 characters."))
        )
    }
  )

const tooBad = () => usage("The password is too short or too long.", "Take 12 to 256 characters; a few words will do.")

const checkPassword = (password: string) => Schema.decodeEffect(NewPassword)(password).pipe(Effect.mapError(tooBad))

/** The questions must not get among the results, which may go to a file. */
const onStandardError = Effect.updateService(Terminal.Terminal, (terminal) =>
  Terminal.make({ ...terminal, display: (text) => Effect.sync(() => void process.stderr.write(text)) })
)

/** Twice, as nobody sees what is typed. */
const asked = Effect.gen(function* () {
  const password = yield* Prompt.run(
    Prompt.Password({
      message: "Password (12 characters or more)",
      validate: (text) => (text.length < 12 ? Effect.fail("At least 12 characters") : Effect.succeed(text))
    })
  )
  const again = yield* Prompt.run(Prompt.Password({ message: "The same again" }))
  if (Redacted.value(password) !== Redacted.value(again)) {
    return yield* usage("The two passwords are not the same.", "Try again.")
  }
  return Redacted.value(password)
}).pipe(onStandardError)

/** All of it, without the line's end that most tools add. */
const piped = Effect.promise(async () => {
  const chunks: Array<Buffer> = []
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "")
})

const encode = Schema.encodeSync(Admin.json)

export const create = Effect.fnUntraced(function* (flags: {
  readonly argument: Option.Option<string>
  readonly name: Option.Option<string>
  readonly role: BuiltInRole
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}) {
  const name = yield* nameOf(flags.argument, flags.name)
  const password = yield* Effect.flatMap(process.stdin.isTTY === true ? asked : piped, checkPassword)
  const admin = yield* onDatabase({ dataDir: flags.dataDir, mayBegin: true }, () =>
    Admins.use((admins) => admins.create({ organizationId: defaultOrganizationId, name, password, role: flags.role }))
  )
  yield* Output.either(flags.json, { ...encode(admin), role: flags.role }, [
    `Created ${admin.name}, ${flags.role}. Sign in at the dashboard.`
  ])
})

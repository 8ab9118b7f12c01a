/** `docs/command-line.md`, written from what the commands say of themselves: a test fails when the page is stale. */
import { Effect, Option } from "effect"
import { CliConfig, CliOutput, Command, type HelpDoc } from "effect/cli"
import { markdownTable } from "../MarkdownTable.ts"
import { version } from "../version.ts"
import { broker, builtIns } from "./Cli.ts"
import { meanings } from "./ExitCode.ts"

type Path = readonly [string, ...ReadonlyArray<string>]

/** What `--help` says of a command, before it is laid out. */
const helpOf = Effect.fnUntraced(function* ([, ...path]: Path) {
  let found: HelpDoc.HelpDoc | undefined
  const present: CliOutput.Presenter["present"] = (event) =>
    Effect.sync(() => {
      if (event._tag === "Help") found = event.helpDoc
    })
  yield* Command.runWith(broker, { version })([...path, "--help"]).pipe(
    Effect.provideService(CliOutput.Presenter, { present }),
    Effect.provideService(CliConfig.CliConfig, { builtIns }),
    Effect.ignore
  )
  return found ?? (yield* Effect.die(new Error(`There is no help for ${path.join(" ")}`)))
})

const flagName = ({ aliases, name, type }: HelpDoc.FlagDoc) => {
  const names = [`--${name}`, ...aliases].join(", ")
  return type === "boolean" ? `\`${names}\`` : `\`${names} ${type}\``
}

const descriptionOf = (doc: { readonly description: Option.Option<string> }) =>
  Option.getOrElse(doc.description, () => "")

const flags = (title: string, docs: ReadonlyArray<HelpDoc.FlagDoc>) =>
  docs.length === 0
    ? []
    : [
        ...markdownTable(
          [title, ""],
          docs.map((doc) => [flagName(doc), descriptionOf(doc)])
        ),
        ""
      ]

const args = (docs: ReadonlyArray<HelpDoc.ArgDoc>) => {
  const rows = docs.map((doc) => [
    `\`${doc.name}\``,
    `${descriptionOf(doc)}${doc.required ? "" : " (may be left out)"}`
  ])
  return rows.length === 0 ? [] : [...markdownTable(["argument", ""], rows), ""]
}

const examples = (docs: ReadonlyArray<HelpDoc.ExampleDoc>) =>
  docs.length === 0
    ? []
    : [
        "```sh",
        ...docs.flatMap(({ command, description }) =>
          description === undefined ? [command] : [`# ${description}`, command]
        ),
        "```",
        ""
      ]

/** A section for a command, and then those below it. */
const sections = (path: Path): Effect.Effect<ReadonlyArray<string>, never, Command.Environment> =>
  Effect.gen(function* () {
    const help = yield* helpOf(path)
    const below = (help.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
    const isRoot = path.length === 1
    const own = isRoot
      ? []
      : [
          `${"#".repeat(path.length + 1)} ${path.join(" ")}`,
          "",
          help.description,
          "",
          ...(below.length > 0
            ? []
            : [...args(help.args ?? []), ...flags("flag", help.flags), ...examples(help.examples ?? [])])
        ]
    const children = yield* Effect.forEach(below, (name) => sections([...path, name]))
    return [...own, ...(isRoot ? flags("flag of every command", help.globalFlags ?? []) : []), ...children.flat()]
  })

const introduction = `# The command line

\`pnpm broker …\` in the repository, or \`node apps/broker/src/main.ts …\` anywhere. \`broker --help\` lists the commands and
\`broker COMMAND --help\` explains one.

Commands find the broker's database by the same settings as the broker: flags, environment, \`broker.yaml\`, defaults (see
[configuration](configuration.md)). With the embedded PostgreSQL they work beside a broker that runs, and start the
database for the moment when none does. An external database that is older than the command is left alone until
\`broker migrate up\`.

## Output

Results go to standard output, everything else (progress, hints, logs, errors) to standard error; \`serve\` logs to
standard output, as that is its result. \`--json\` prints one JSON document with the field names of the HTTP API (\`/docs\`
of a running broker), times in RFC 3339 and lists as \`{ "items": […], "nextCursor": … }\`; \`--cursor\` takes the latter
for the next page. New fields may be added, none is renamed or removed.

An error says what happened, with its stable code in brackets where it has one, and on the next line what to do:

\`\`\`
$ broker server approve nobody
There is no such server. (server_not_found)
Check the id or the name.
\`\`\`

## Exit codes

${markdownTable(
  ["code", "meaning"],
  meanings.map(([code, meaning]) => [String(code), meaning])
).join("\n")}

## Completions

\`\`\`sh
broker --completions bash > ~/.local/share/bash-completion/completions/broker
broker --completions zsh > "\${fpath[1]}/_broker"
broker --completions fish > ~/.config/fish/completions/broker.fish
broker --completions powershell >> $PROFILE
\`\`\`

They complete the command \`broker\`; in a checkout, name it so:
\`alias broker='node /path/to/apps/broker/src/main.ts'\`.

## Commands
`

export const commandLinePage = Effect.map(
  sections(["broker"]),
  (lines) => `${introduction}\n${lines.join("\n").trimEnd()}\n`
)

/** `docs/configuration.md`, written from the settings themselves: a test fails when the page is stale. */
import { markdownTable } from "../MarkdownTable.ts"
import { documentation } from "../Settings.ts"

const table = markdownTable(
  ["setting", "variable", "flag", "default", "allowed", "what it does"],
  documentation.map((setting) => [
    `\`${setting.name}\``,
    `\`${setting.variable}\``,
    setting.flag === null ? "" : `\`${setting.flag}\``,
    setting.default,
    setting.allowed,
    setting.secret ? `${setting.doc} **Secret.**` : setting.doc
  ])
).join("\n")

const list = new Intl.ListFormat("en", { type: "conjunction" })

const secrets = list.format(documentation.filter(({ secret }) => secret).map(({ name }) => `\`${name}\``))

export const configurationPage = `# Configuration

The broker runs without any. What differs from the defaults is said in one of three places; the first that says something
wins:

1. a flag of the command, such as \`--port 8080\`
2. an environment variable, such as \`PORT=8080\`; an empty one counts as not set
3. a line of \`broker.yaml\` in the working directory, or of the file that \`--config\` names, such as \`port: 8080\`

\`\`\`yaml
# broker.yaml
publicUrl: https://broker.example.com
host: 0.0.0.0
databaseUrl: postgres://broker:secret@db.internal:5432/broker
trustedProxies:
  - 10.0.0.0/8
logFormat: json
\`\`\`

\`broker config\` shows what is in force, and where each value comes from, without secrets. \`broker doctor\` says whether
it will work. A broker does not start with a setting that is wrong, or with a key in the file that it does not know: it
names all of them, what they were and what is allowed.

Times are written with a unit: \`250ms\`, \`30s\`, \`5m\`, \`12h\`, \`7d\`. Sizes too: \`500 kB\`, \`10 MiB\`. Paths are
relative to the working directory.

## Settings

${table}

## Secrets

${secrets}
are never logged nor shown. Hand them over as environment variables, or keep the file to yourself: \`chmod 600 broker.yaml\`. What the encryption key is for, how it is kept and how it is
changed: [encryption.md](encryption.md).

## An installation others can reach

By default the broker answers its own machine only. To open it, put a proxy with TLS in front, and set \`publicUrl\` to the
address that people and servers use, \`trustedProxies\` to the proxy's address, and \`host\` where the proxy is on another
machine. \`publicUrl\` is the audience of every signature: servers sign it when they register and when they are verified,
so choose it before the first server joins.
`

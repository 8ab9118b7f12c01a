/** What to type with a key that was just made: a server is started with it, or a client signs in. */

/** A word that a shell takes as it stands. */
const word = (text: string) => (/^[\w.:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

export const agentCommand = (audience: string, key: string, name = "my-gateway") =>
  `broker agent --url ${audience} --key ${key} --name ${word(name)}`

export const connectCommand = (audience: string, key: string) => `broker connect --url ${audience} --key ${key}`

export const signInCommand = (audience: string, key: string) =>
  [
    `curl ${audience}/api/v1/sessions`,
    `-H "Authorization: Bearer ${key}"`,
    `-H "Content-Type: application/json"`,
    `-d '{"device":{"fingerprint":"my-laptop","name":"My laptop","platform":"linux"}}'`
  ].join(" \\\n  ")

/** How a server is started with a registration key. */

/** A word that a shell takes as it stands. */
const word = (text: string) => (/^[\w.:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

export const agentCommand = (audience: string, key: string, name = "my-gateway") =>
  `broker agent --url ${audience} --key ${key} --name ${word(name)}`

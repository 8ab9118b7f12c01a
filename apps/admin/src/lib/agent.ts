/** How a server is started with a registration key. */

export const agentCommand = (audience: string, key: string) =>
  `broker agent --url ${audience} --key ${key} --name my-gateway`

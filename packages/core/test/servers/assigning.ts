/** What admins give a server, for tests that take nothing away. */

export const tagged = (...add: ReadonlyArray<string>) => ({ add, remove: [] })

export const labelled = (set: Readonly<Record<string, string>>) => ({ set, remove: [] })

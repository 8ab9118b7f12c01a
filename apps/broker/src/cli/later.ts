import { Effect } from "effect"

/**
 * Runs what another module has, and loads it only then: `--help`, `--version`, completions and the agent start without
 * the server side.
 */
export const later = <Module, A, E, R>(load: () => Promise<Module>, run: (module: Module) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.promise(load), run)

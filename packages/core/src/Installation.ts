/** What this installation calls itself. */
import { Context } from "effect"

export const Installation = Context.Reference<{
  /** The public origin: the audience of every signature, and the address that agents and browsers use. */
  readonly audience: string
  readonly version: string
}>("@broker/core/Installation", {
  defaultValue: () => ({ audience: "http://localhost:3000", version: "0.1.0" })
})

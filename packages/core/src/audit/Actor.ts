/** Who is doing this: whatever changes something takes it from context, and records it. */
import type { ActorKind } from "@broker/domain/AuditEntry"
import { Context } from "effect"

export class Actor extends Context.Service<
  Actor,
  {
    /** `stranger` is whoever presents a registration key; `command` is the command line. */
    readonly kind: ActorKind
    readonly id: string | null
    readonly name: string
    /** The client's IP address, where there is one. */
    readonly address: string | null
    readonly requestId: string | null
  }
>()("@broker/core/audit/Actor") {}

/** The broker itself, at its scheduled work. */
export const broker = Actor.of({ kind: "broker", id: null, name: "broker", address: null, requestId: null })

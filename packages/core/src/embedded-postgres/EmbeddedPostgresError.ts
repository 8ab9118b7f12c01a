import { Schema } from "effect"

/** The embedded PostgreSQL could not be prepared, started or reached; says what to do about it where that is known. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  problem: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    const reason = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    return `Embedded PostgreSQL: ${this.problem}${reason}`
  }
}

/**
 * Failures that a caller can act on, as RFC 9457 problems.
 *
 * A problem is declared once, on its class: the HTTP status, the stable code that programs switch on, and the words
 * for people. Both APIs and the page behind `type` follow from that declaration.
 */
import { Effect, Schema } from "effect"
import { HttpApiError } from "effect/http-api"

/** What stands on a problem's class. */
export interface ProblemDeclaration<Code extends string = string, Status extends number = number> {
  /** Stable, snake_case; never renamed. */
  readonly code: Code
  readonly status: Status
  /** The same for every occurrence. */
  readonly title: string
  /** What happened, in a sentence, unless the occurrence says more. */
  readonly detail: string
  /** What the caller can do about it. */
  readonly remedy: string
}

/** Declares a problem as a yieldable error class; `type` is the path of its page on the broker. */
export const Problem =
  <Self = never>() =>
  <
    const Tag extends string,
    const Code extends string,
    const Status extends number,
    const Fields extends HttpApiError.ProblemExtensionFields = Record<never, never>
  >(
    tag: Tag,
    declaration: ProblemDeclaration<Code, Status>,
    fields?: Fields
  ) =>
    HttpApiError.Problem<Self>()(
      tag,
      {
        type: `/problems/${declaration.code}` as `/problems/${Code}`,
        status: declaration.status,
        title: declaration.title
      },
      {
        ...(fields ?? ({} as Fields)),
        code: Schema.tag(declaration.code),
        detail: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(declaration.detail)))
      },
      { problem: declaration }
    )

declare module "effect/Schema" {
  namespace Annotations {
    interface Annotations {
      readonly problem?: ProblemDeclaration | undefined
    }
  }
}

/** The declaration on a problem's class, or undefined for any other value. */
export const declarationOf = (value: unknown): ProblemDeclaration | undefined =>
  Schema.isSchema(value) ? (Schema.resolveAnnotations(value)?.["problem"] as ProblemDeclaration | undefined) : undefined

/** The declaration of an error that is an instance of a problem class; defects have none. */
export const problemOf = (failure: unknown): ProblemDeclaration | undefined =>
  failure instanceof Error ? declarationOf(failure.constructor) : undefined

/** Each value that is wrong, by its JSON Pointer (RFC 6901) in the body, or `?name` in the query. */
export class ValidationFailed extends Problem<ValidationFailed>()(
  "ValidationFailed",
  {
    code: "validation_failed",
    status: 400,
    title: "Validation failed",
    detail: "The request is not of the documented shape.",
    remedy: "Look at `errors`: each names a value by its JSON Pointer and says what it must be."
  },
  { errors: Schema.Array(Schema.Struct({ pointer: Schema.String, message: Schema.String })) }
) {}

/**
 * The one tRPC instance, and the only place where a procedure becomes a promise.
 *
 * A procedure names its permission and says what to run; `ctx.run` runs it on the broker's services, as the admin who
 * asked, and turns a typed failure into the tRPC error its HTTP status stands for.
 */
import { prove, type SignedInAdmin } from "@broker/core/admin-sessions/AdminSessions"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import type * as Core from "@broker/core/Core"
import { isDatabaseAway } from "@broker/core/database/SqlFailure"
import { NotSignedIn } from "@broker/domain/AdminSession"
import { MoreThanHeld, type Permission, PermissionMissing, StepUpRequired } from "@broker/domain/Permission"
import { problemOf } from "@broker/domain/Problem"
import type { Session } from "@broker/domain/Session"
import { plain } from "@broker/domain/Wording"
import { initTRPC, type TRPCError } from "@trpc/server"
import { Cause, Context, Effect, Exit, Stream } from "effect"
import { toTRPCError } from "./errors.ts"

export interface AdminContext {
  readonly admin: SignedInAdmin | null
  readonly broker: Session["broker"]
  run<A, E>(effect: Effect.Effect<A, E, Core.Services | Actor>): Promise<A>
  stream<A, E>(stream: Stream.Stream<A, E, Core.Services>): AsyncIterable<A>
}

/** What one request of the dashboard runs on. */
export const makeContext = (options: {
  readonly services: Context.Context<Core.Services>
  readonly admin: SignedInAdmin | null
  readonly broker: Session["broker"]
  readonly requestId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Ends streams: the process stops, or the session is over. */
  readonly closing?: Effect.Effect<void> | undefined
}): AdminContext => ({
  admin: options.admin,
  broker: options.broker,
  run: async (effect) => {
    const actor = Context.make(Actor, {
      kind: "admin",
      id: options.admin?.id ?? null,
      name: options.admin?.name ?? "nobody",
      address: options.broker.clientAddress,
      requestId: options.requestId ?? null
    })
    // Nobody past this point sees a defect: the dashboard only learns that there was one.
    const logged = Effect.tapDefect(effect, (defect) =>
      isDatabaseAway(defect) ? Effect.logWarning("The database is away") : Effect.logError("Procedure died", defect)
    )
    const exit = await Effect.runPromiseExitWith(Context.merge(options.services, actor))(logged, {
      signal: options.signal
    })
    if (Exit.isSuccess(exit)) return exit.value
    throw toTRPCError(Cause.squash(exit.cause))
  },
  stream: (stream) =>
    Stream.toAsyncIterableWith(
      options.closing === undefined ? stream : Stream.interruptWhen(stream, options.closing),
      options.services
    )
})

/** Where in the input a value is wrong, for the field of the form that it came from. */
const issuesOf = (cause: unknown) =>
  typeof cause === "object" && cause !== null && "issues" in cause && Array.isArray(cause.issues)
    ? cause.issues.map((issue: { readonly message: string; readonly path?: ReadonlyArray<unknown> }) => ({
        path: (issue.path ?? []).map((segment) =>
          String(typeof segment === "object" && segment !== null && "key" in segment ? segment.key : segment)
        ),
        message: plain(issue.message)
      }))
    : []

/** Instead of words that may quote a row, a query or the input; those of a typed failure are written for its reader. */
const messages: Partial<Record<TRPCError["code"], string>> = {
  INTERNAL_SERVER_ERROR: "Something went wrong on the broker.",
  BAD_REQUEST: "The input is not valid.",
  PARSE_ERROR: "The request is not valid JSON."
}

/** What every problem has; whatever else one has, it names for its reader: a permission, or who stands in the way. */
const common = new Set(["_tag", "name", "message", "stack", "type", "title", "status", "code", "detail", "instance"])

const isWords = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((word) => typeof word === "string")

const namesOf = (cause: unknown): Readonly<Record<string, ReadonlyArray<string>>> =>
  Object.fromEntries(
    Object.entries(cause ?? {}).flatMap(([key, value]: [string, unknown]) => {
      if (common.has(key)) return []
      if (typeof value === "string") return [[key, [value]]]
      return isWords(value) ? [[key, value]] : []
    })
  )

/** What stands on each procedure. */
export interface Meta {
  /** The permission it asks for, or null where being signed in is enough. */
  readonly permission: Permission | null
  /** Whether it asks again who it is, unless that was shown a short while ago (A4). */
  readonly provenly: boolean
  /** Whether it asks for more, which depends on what is done in bulk. */
  readonly byAction?: boolean
}

const t = initTRPC
  .context<AdminContext>()
  .meta<Meta>()
  .create({
    isDev: false,
    sse: { ping: { enabled: true, intervalMs: 15_000 }, client: { reconnectAfterInactivityMs: 40_000 } },
    errorFormatter: ({ error, shape }) => {
      const problem = problemOf(error.cause)
      // Without a cause, they are tRPC's own words, such as of a batch that is too large.
      const isPlain = problem !== undefined || (error.code === "BAD_REQUEST" && error.cause === undefined)
      return {
        ...shape,
        message: isPlain ? shape.message : (messages[error.code] ?? shape.message),
        data: {
          code: shape.data.code,
          httpStatus: shape.data.httpStatus,
          /** The stable code of the problem, as in the public API. */
          problem: problem?.code ?? null,
          remedy: problem?.remedy ?? null,
          names: problem === undefined ? {} : namesOf(error.cause),
          issues: error.code === "BAD_REQUEST" ? issuesOf(error.cause) : []
        }
      }
    }
  })

export const router = t.router
export const callerFactory = t.createCallerFactory

/** Every procedure of the dashboard needs a signed-in admin, so there is no other kind. */
export const signedIn = t.procedure.meta({ permission: null, provenly: false }).use(({ ctx, next }) => {
  if (ctx.admin === null) throw toTRPCError(new NotSignedIn())
  return next({ ctx: { ...ctx, admin: ctx.admin } })
})

/** A refused attempt is in the audit log too (A6). */
const recordRefusal = (
  admin: SignedInAdmin,
  action: `${string}:${string}`,
  details: { readonly procedure: string; readonly problem?: string; readonly beyond?: ReadonlyArray<Permission> }
) =>
  Audit.use((audit) =>
    audit.record({
      organizationId: admin.organizationId,
      action,
      subjectKind: "procedure",
      subjectId: null,
      outcome: "refused",
      details: { ...details, role: admin.roleName }
    })
  )

const refuse = (admin: SignedInAdmin, permission: Permission, procedure: string) =>
  Effect.andThen(
    // Whoever has yet to enrol a factor attempts nothing: it is their page that asks before it knows.
    admin.mustEnrol ? Effect.void : recordRefusal(admin, permission, { procedure }),
    Effect.fail(new PermissionMissing({ permission }))
  )

/** What is recorded of a failure, where it is a refusal (A6). Being asked who one is is none: the page asks by itself. */
const refusalOf = (cause: unknown, isProvenly: boolean) => {
  if (cause instanceof MoreThanHeld) return { beyond: cause.permissions }
  const problem = problemOf(cause)
  if (problem === undefined || cause instanceof StepUpRequired) return undefined
  const isRefused = isProvenly ? problem.status === 403 || problem.status === 409 : cause instanceof PermissionMissing
  return isRefused ? { problem: problem.code } : undefined
}

/** `account.removeTotp` as the action that it is. */
const actionOf = (path: string): `${string}:${string}` => {
  const [noun = "", verb = ""] = path.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).split(".", 2)
  return `${noun}:${verb}`
}

/** For what changes how one signs in: asks again who it is (A4). */
export const provenly = signedIn.meta({ permission: null, provenly: true }).use(async ({ ctx, next, path }) => {
  await ctx.run(prove(ctx.admin))
  const outcome = await next({ ctx })
  const refusal = outcome.ok ? undefined : refusalOf(outcome.error.cause, true)
  if (refusal !== undefined) await ctx.run(recordRefusal(ctx.admin, actionOf(path), { procedure: path, ...refusal }))
  return outcome
})

/** A procedure that asks for a permission of the admin's role, and where it is dangerous, who it is once more. */
export const procedure = (permission: Permission, options: Partial<Omit<Meta, "permission">> = {}) =>
  signedIn.meta({ permission, provenly: false, ...options }).use(async ({ ctx, next, path }) => {
    if (!ctx.admin.permissions.has(permission)) await ctx.run(refuse(ctx.admin, permission, path))
    if (options.provenly === true) await ctx.run(prove(ctx.admin))
    const outcome = await next({ ctx })
    // What was begun is undone by then, so the refusal is recorded here (A5, A6).
    const refusal = outcome.ok ? undefined : refusalOf(outcome.error.cause, options.provenly === true)
    if (refusal !== undefined) await ctx.run(recordRefusal(ctx.admin, permission, { procedure: path, ...refusal }))
    return outcome
  })

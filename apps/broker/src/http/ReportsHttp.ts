import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Holds } from "@broker/core/Holds"
import * as ReportFile from "@broker/core/reports/ReportFile"
import { Reports } from "@broker/core/reports/Reports"
import { Report, type ReportId, ReportRun } from "@broker/domain/Report"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { conditional } from "./EntityTag.ts"
import { asMachine, gone, made, makeWrites, pageOf, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const report = resource(Report.json, Report.json.fields, ["nextAt"])
const reportRun = resource(ReportRun, ReportRun.fields)

export const ReportsHttp = HttpApiBuilder.group(
  Api,
  "reports",
  Effect.fn(function* (handlers) {
    const reports = yield* Reports
    const holds = yield* Holds
    const { guarded, once } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: ReportId) {
      const token = yield* CurrentApiToken
      return { token, of: report, hold: holds.report(token.organizationId, id), read: reports.get(token, id) }
    })

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          report.page(
            pageOf(reports.list(token), query, ({ id }) => id),
            query.fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          report.one(reports.get(token, params.id), { condition: headers["if-none-match"], fields: query.fields })
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const token = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const created = yield* reports.create(token, payload)
            return made(`/api/v1/reports/${created.id}`)(yield* report.changed(created))
          })
        )
      }, asMachine),
      update: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(reports.update(on.token, id, payload), report.changed))
      }, asMachine),
      delete: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(reports.delete(on.token, id), gone))
      }, asMachine),
      run: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const token = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const asked = yield* reports.runSaved(token, id)
            return made(`/api/v1/report-runs/${asked.id}`)(yield* reportRun.changed(asked))
          })
        )
      }, asMachine),
      preview: ({ payload }) => Effect.flatMap(CurrentApiToken, (token) => reports.preview(token, payload))
    })
  })
)

export const ReportRunsHttp = HttpApiBuilder.group(
  Api,
  "reportRuns",
  Effect.fn(function* (handlers) {
    const reports = yield* Reports
    const { once } = yield* makeWrites

    return handlers.handleAll({
      list: ({ query: { cursor, fields, limit, reportId } }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          reportRun.page(
            reports.runs(token, { reportId: reportId ?? null, limit: limit ?? usualLimit, cursor: cursor ?? null }),
            fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          reportRun.one(reports.getRun(token, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const token = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const asked = yield* reports.run(token, payload)
            return made(`/api/v1/report-runs/${asked.id}`)(yield* reportRun.changed(asked))
          })
        )
      }, asMachine),
      file: Effect.fnUntraced(function* ({ headers, params }) {
        const { bytes, content, name, sha256, type } = yield* reports.file(
          yield* CurrentApiToken,
          params.id,
          params.format
        )
        const file = HttpServerResponse.stream(content, {
          contentType: type,
          contentLength: bytes,
          headers: { "content-disposition": ReportFile.disposition(name) }
        })
        return yield* conditional(`"${sha256}"`, headers["if-none-match"], Effect.succeed(file))
      })
    })
  })
)

/** What is asked of the broker for a view. */
import { ReportParameters } from "@broker/domain/Report"
import { Schema } from "effect"
import { parametersOf, type ReportsView } from "./view.ts"

export const reportsKey = "broker:reports"

export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone

const encode = Schema.encodeSync(ReportParameters)

export const toParameters = (view: ReportsView) => encode(parametersOf(view, browserZone()))

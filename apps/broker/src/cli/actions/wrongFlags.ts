import { plain } from "@broker/domain/Wording"
import { type Schema, SchemaIssue } from "effect"

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** What is wrong with a request, a line each, by the flags that it was made of: nobody typed the fields' names. */
export const wrongFlags = ({ issue }: Schema.SchemaError, flags: Readonly<Record<string, string>>) =>
  issuesOf(issue)
    .issues.map(({ message, path = [] }) => {
      const field = String(path[0])
      return `${flags[field] ?? field}: ${plain(message)}`
    })
    .join("\n")

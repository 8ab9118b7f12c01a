/** Answers kept in memory: compressed beforehand, revalidated by ETag. They are made once, so serving costs nothing. */

import { createHash } from "node:crypto"
import { promisify } from "node:util"
import { brotliCompress, constants, gzip } from "node:zlib"
import { Effect } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"

type Encoding = "br" | "gzip"

interface Variant {
  readonly etag: string
  readonly full: HttpServerResponse.HttpServerResponse
  readonly unchanged: HttpServerResponse.HttpServerResponse
}

export interface Static {
  readonly plain: Variant
  readonly br: Variant | undefined
  readonly gzip: Variant | undefined
}

export const make = (options: {
  readonly body: Uint8Array
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly br?: Uint8Array | undefined
  readonly gzip?: Uint8Array | undefined
}): Static => {
  const hash = createHash("sha256").update(options.body).update(JSON.stringify(options.headers)).digest("base64url")
  const variant = (body: Uint8Array, encoding?: Encoding): Variant => {
    const etag = `"${hash.slice(0, 22)}${encoding === undefined ? "" : `-${encoding}`}"`
    const headers = { ...options.headers, etag, vary: "accept-encoding" }
    return {
      etag,
      full: HttpServerResponse.uint8Array(body, {
        contentType: options.contentType,
        headers: encoding === undefined ? headers : { ...headers, "content-encoding": encoding }
      }),
      unchanged: HttpServerResponse.empty({ status: 304, headers })
    }
  }
  return {
    plain: variant(options.body),
    br: options.br && variant(options.br, "br"),
    gzip: options.gzip && variant(options.gzip, "gzip")
  }
}

const compressBrotli = promisify(brotliCompress)
const compressGzip = promisify(gzip)

/** Compresses what was not beforehand. */
export const compressed = (body: Uint8Array, contentType: string, headers: Readonly<Record<string, string>>) =>
  Effect.map(
    Effect.promise(() =>
      Promise.all([compressBrotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }), compressGzip(body)])
    ),
    ([br, zipped]) => make({ body, contentType, headers, br, gzip: zipped })
  )

/** Whether `Accept-Encoding` names an encoding without refusing it (`q=0`). */
const accepts = (header: string, encoding: Encoding) =>
  header.split(",").some((part) => {
    const [name, ...parameters] = part.split(";").map((word) => word.trim().toLowerCase())
    return name === encoding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
  })

export const respond = (
  { br, gzip, plain }: Static,
  { headers }: HttpServerRequest.HttpServerRequest
): HttpServerResponse.HttpServerResponse => {
  const accepted = headers["accept-encoding"] ?? ""
  const { etag, full, unchanged } =
    br && accepts(accepted, "br") ? br : gzip && accepts(accepted, "gzip") ? gzip : plain
  const seen = headers["if-none-match"]
  return seen?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag) ? unchanged : full
}

/** CSP sources for the inline scripts of a page, so that no others run. */
export const scriptHashes = (html: string) =>
  [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)]
    .map(([, script = ""]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`)
    .join(" ")

/** HTTPS by the broker itself: its certificate is renewed without anybody noticing, and slow handshakes end (F12). */

import { once } from "node:events"
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import { Agent, request } from "node:https"
import { connect as connectPlain } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect, type TLSSocket } from "node:tls"
import { NodeFileSystem } from "@effect/platform-node"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Tls from "../../src/Tls.ts"
import { type Certificate, selfSigned } from "./certificate.ts"
import { eventually, freePort, start, type Wire } from "./Wire.ts"

const first = selfSigned("first")

let directory: string
let files: Tls.Files
let port: number
let broker: Wire

const write = async ({ cert, key }: Pick<Certificate, "cert" | "key">) => {
  for (const [file, text] of [
    [files.cert, cert],
    [files.key, key]
  ] as const) {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "broker-tls-"))
  files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  await write(first)
  port = await freePort()
  broker = await start({ tls: files, port, audience: `https://localhost:${port}` })
})
afterAll(async () => {
  await broker?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  readonly by: string
}

const ask = (path: string, ca: string, agent = new Agent({ keepAlive: false })) =>
  new Promise<Answer>((resolve, reject) => {
    request({ host: "localhost", port, path, ca, agent }, (response) => {
      const by = (response.socket as TLSSocket).getPeerCertificate().subject.CN
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () =>
        resolve({ status: response.statusCode, headers: response.headers, text, by: String(by) })
      )
    })
      .on("error", reject)
      .end()
  })

/** Which certificate a new connection gets. */
const served = async () => {
  const socket = connect({ host: "localhost", port, rejectUnauthorized: false })
  await once(socket, "secureConnect")
  const name = socket.getPeerCertificate().subject.CN
  socket.destroy()
  return name
}

describe("HTTPS", () => {
  it("serves everything, and asks browsers to stay with it", async () => {
    const answer = await ask("/readyz", first.cert)
    assert.strictEqual(answer.status, 200)
    assert.match(String(answer.headers["strict-transport-security"]), /^max-age=63072000/)
    assert.include((await ask("/.well-known/broker", first.cert)).text, `https://localhost:${port}`)
  })

  it("speaks TLS 1.2 and 1.3, and nothing older", async () => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const socket = connect({ host: "localhost", port, ca: first.cert, minVersion: version, maxVersion: version })
      await once(socket, "secureConnect")
      assert.strictEqual(socket.getProtocol(), version)
      socket.destroy()
    }
    const old = connect({
      host: "localhost",
      port,
      ca: first.cert,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0"
    })
    const [error] = await once(old, "error")
    assert.match(String(error), /protocol|version|alert/i)
  })

  it("hangs up on whoever does not speak TLS, or not in time (F12)", async () => {
    const began = performance.now()
    const sockets = ["", "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "\x16\x03\x01\x02\x00"].map((bytes) => {
      const socket = connectPlain(port, "localhost", () => socket.write(bytes))
      const received: Array<Buffer> = []
      socket.on("data", (data) => received.push(data)).on("error", () => {})
      return once(socket, "close").then(() => Buffer.concat(received).toString("latin1"))
    })
    for (const received of await Promise.all(sockets)) assert.notInclude(received, "HTTP/1.1")
    assert.isBelow(performance.now() - began, 5_000)
    assert.strictEqual((await ask("/healthz", first.cert)).status, 200)
  })

  it("takes a new certificate without dropping a connection, and keeps it when the next one is broken", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    assert.strictEqual((await ask("/healthz", first.cert, agent)).by, "first")

    const second = selfSigned("second")
    await write(second)
    await eventually("new connections get the new certificate", async () => (await served()) === "second")
    assert.strictEqual((await ask("/healthz", second.cert)).status, 200)
    assert.strictEqual((await ask("/healthz", first.cert, agent)).by, "first", "on the connection that was open")
    agent.destroy()

    for (const broken of [
      { cert: "nonsense", key: second.key },
      { cert: second.cert, key: first.key },
      { cert: second.cert, key: "" }
    ]) {
      broker.log.length = 0
      await write(broken)
      await eventually("it is told", () => broker.log.some((line) => line.includes("the former one stays")))
      assert.isFalse(broker.log.some((line) => line.includes("PRIVATE KEY")))
      assert.strictEqual(await served(), "second")
    }

    await write(selfSigned("third"))
    await eventually("the next good one is taken", async () => (await served()) === "third")
  })
})

describe("the files", () => {
  const problem = (files: Tls.Files) =>
    Effect.runPromise(
      Tls.load(files).pipe(
        Effect.flip,
        Effect.map(({ message }) => message),
        Effect.provide(NodeFileSystem.layer)
      )
    )

  it("are told apart by what is wrong with them", async () => {
    const make = async (name: string, text: string) => {
      const path = join(directory, name)
      await writeFile(path, text)
      return path
    }
    const [one, other] = [selfSigned("one"), selfSigned("other")]
    const cert = await make("one.crt", one.cert)
    const key = await make("one.key", one.key)
    const [nonsense, foreign, missing] = [
      await make("nonsense", "nonsense"),
      await make("other.key", other.key),
      join(directory, "missing")
    ]
    assert.strictEqual(await problem({ cert: missing, key }), `${missing} cannot be read (NotFound).`)
    assert.strictEqual(await problem({ cert, key: missing }), `${missing} cannot be read (NotFound).`)
    assert.strictEqual(await problem({ cert: nonsense, key }), `${nonsense} is no certificate in PEM.`)
    assert.strictEqual(
      await problem({ cert, key: nonsense }),
      `${nonsense} is no private key in PEM without a passphrase.`
    )
    assert.strictEqual(await problem({ cert, key: cert }), `${cert} is no private key in PEM without a passphrase.`)
    assert.match(await problem({ cert, key: foreign }), /is not the key of/)
  })
})

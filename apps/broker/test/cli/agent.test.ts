/** `broker agent` against a real broker: what it prints, what it keeps, and what it ends with. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Servers } from "@broker/core/servers/Servers"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker } from "./CommandLine.ts"


/** Programs that tests run and npm does not bring: installed where that can be done without asking anybody. */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"

const apt = (...args: ReadonlyArray<string>) =>
  spawnSync("apt-get", args, { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } })
    .status === 0

/** Whether the package is there now. Only as root on Debian and its like. */
export const install = (name: string) =>
  process.getuid?.() === 0 &&
  existsSync("/usr/bin/apt-get") &&
  apt("update") &&
  apt("install", "-y", "--no-install-recommends", name)

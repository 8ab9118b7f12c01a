/** What an admin does to users and their devices without a dialog, the same from the list and the page. */
import { toast } from "svelte-sonner"
import { complain } from "#lib/acts.svelte.ts"
import type { DeviceView, UserView } from "#lib/fleet.ts"
import { plural } from "#lib/numbers.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import { invalidate } from "$app/navigation"

/** What loads users depends on it. */
export const usersKey = "broker:users"

/** How long a toast offers to undo. */
const undoFor = 8_000

/** Shows that it is done, and offers to take it back. */
const offerUndo = (done: string, undone: string, undo: () => Promise<unknown>) => {
  const back = async () => {
    try {
      await undo()
      toast(undone)
    } catch (error) {
      complain(error)
    } finally {
      await invalidate(usersKey)
    }
  }
  toast.success(done, { duration: undoFor, action: { label: "Undo", onClick: () => void back() } })
}

export const resume = async (user: UserView) => {
  try {
    await rpc.users.resume.mutate({ id: user.id })
    offerUndo(`${user.name} can connect again`, `${user.name} is suspended again`, () =>
      rpc.users.suspend.mutate({ id: user.id, reason: user.stateReason ?? "" })
    )
  } catch (error) {
    complain(error)
  } finally {
    await invalidate(usersKey)
  }
}

export const unblock = async (device: DeviceView) => {
  try {
    await rpc.devices.unblock.mutate({ id: device.id })
    offerUndo(`${device.name} is unblocked`, `${device.name} is blocked again`, () =>
      rpc.devices.block.mutate({ id: device.id, reason: device.blockedReason ?? "" })
    )
  } catch (error) {
    complain(error)
  } finally {
    await invalidate(usersKey)
  }
}

/** One user after the other, with the progress on screen. */
const each = async (
  users: ReadonlyArray<UserView>,
  done: (all: string) => string,
  act: (user: UserView) => Promise<unknown>
) => {
  const all = plural(users.length, "user")
  const id = toast.loading(`0 of ${all}`)
  let passed = 0
  for (const user of users) {
    try {
      await act(user)
      toast.loading(`${++passed} of ${all}`, { id })
    } catch (error) {
      const { message, remedy } = explain(error)
      toast.error(`Stopped at ${user.name}: ${message}`, {
        id,
        description: `${passed} of ${all} done. ${remedy ?? ""}`.trim()
      })
      break
    }
  }
  if (passed === users.length) toast.success(done(all), { id })
  await invalidate(usersKey)
}

export const suspendAll = (users: ReadonlyArray<UserView>, reason: string) =>
  each(
    users,
    (all) => `${all} suspended`,
    ({ id }) => rpc.users.suspend.mutate({ id, reason })
  )

export const resumeAll = (users: ReadonlyArray<UserView>) =>
  each(
    users,
    (all) => `${all} can connect again`,
    ({ id }) => rpc.users.resume.mutate({ id })
  )

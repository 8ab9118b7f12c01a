import type { Permission } from "@broker/domain/Permission"
import type { Session } from "@broker/domain/Session"

declare global {
  namespace App {
    interface Error {
      message: string
      /** What to do about it. */
      remedy?: string
      /** The permission that is missing, where that is why. */
      permission?: Permission
      /** Set where the broker gave no answer at all: worth another try. */
      away?: boolean
    }
    interface PageData {
      session?: Session
      title?: string
    }
    interface PageState {
      /** Cursors of the pages before this one, so that "Previous" knows its way back. */
      trail?: ReadonlyArray<string>
    }
  }
}

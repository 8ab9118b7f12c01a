/** Flags of the commands that speak to a broker over its network: `agent` and `connect`. */
import { homedir } from "node:os"
import { join } from "node:path"
import { Config, Effect, Option } from "effect"
import { CliError, Flag } from "effect/cli"

export const url = Flag.String("url").pipe(
  Flag.withMetavar("URL"),
  Flag.withDescription("Address of the broker, such as https://broker.example (BROKER_URL)"),
  Flag.withFallbackConfig(Config.String("BROKER_URL"))
)

/** A directory in the user's home, unless told otherwise. */
export const stateDir = ({
  description,
  directory,
  variable
}: {
  readonly description: string
  readonly directory: string
  readonly variable: string
}) =>
  Flag.String("state-dir").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription(`${description} (${variable}, ~/${directory})`),
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withDefault(
      // A container may run us as a user without a home.
      Effect.try({
        try: () => join(homedir(), directory),
        catch: () => new CliError.MissingOption({ option: "state-dir" })
      })
    )
  )

/** `50.11,8.68`: latitude and longitude in degrees. */
export const coordinates = (text: string) => {
  const [latitude = NaN, longitude = NaN, ...more] = text.split(",").map((degrees) => Number(degrees.trim() || NaN))
  return Number.isNaN(latitude + longitude) || more.length > 0 ? Option.none() : Option.some({ latitude, longitude })
}

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print each event as a line of JSON, for programs"),
  Flag.withDefault(false)
)

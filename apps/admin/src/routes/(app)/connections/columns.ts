/** Which columns a table of connections has beside those that all have. */
export interface Columns {
  readonly user: boolean
  readonly server: boolean
  /** The verdict and the reason of the end. */
  readonly end: boolean
}

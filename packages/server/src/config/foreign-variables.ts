/** Variables that begin as ours do and are not settings of the server, but not mistakes either. */

/** Of the library and the command line. */
export const foreignVariables = [
  'HOLDFAST_URL',
  'HOLDFAST_API_KEY',
  'HOLDFAST_CA',
  'HOLDFAST_INSTANCE',
  'HOLDFAST_TOKEN',
  'HOLDFAST_LOCK',
  'HOLDFAST_DEADLINE',
  'HOLDFAST_SESSION',
  'HOLDFAST_IAM_API_KEY',
  'HOLDFAST_IAM_URL',
]

/** The address of a Service, as Kubernetes writes it: `tcp://10.0.0.1:7420`. */
const ADDRESS = /^(tcp|udp|sctp):\/\//
const SERVICE = /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/
const PORT = /_PORT(_\d+_(TCP|UDP|SCTP))?$/
const PART_OF_PORT = /_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)$/

/**
 * Whether Kubernetes has put it there: every pod is told of every Service of its namespace, under the Service's name, and `holdfast` or
 * `holdfast-peers` is a likely one. No setting of ours may end so. A port that somebody has written by hand, thinking that there is such a setting,
 * has no address for a value and is refused as ever.
 */
export function isOfKubernetes(variable: string, value: string): boolean {
  return SERVICE.test(variable) || PART_OF_PORT.test(variable) || (PORT.test(variable) && ADDRESS.test(value))
}

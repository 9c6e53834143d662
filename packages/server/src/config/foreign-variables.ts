/** Variables of the library and the command line: not settings of the server, but not mistakes either. */
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

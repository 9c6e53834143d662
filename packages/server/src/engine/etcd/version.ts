/** Which versions of etcd may be trusted with what (SAFETY section 7). */

type Version = { major: number; minor: number; patch: number }

/** Before these a member can answer a "linearizable" read with old data. */
const STALE_READS_FIXED = ['3.4.42', '3.5.28', '3.6.9']
/** Before these the rights of a user could be got around. */
const RIGHTS_FIXED = ['3.5.33', '3.6.14', '3.7.1']
const FLOOR = '3.5.0'

export type Verdict = { refusal: string | null; warnings: string[] }

export function judgeVersion(text: string): Verdict {
  const version = parse(text)
  if (!version) return { refusal: `its version ${JSON.stringify(text)} cannot be read`, warnings: [] }
  if (isBefore(version, parse(FLOOR)!)) {
    const refusal = `etcd ${text} is older than ${FLOOR}: such versions are known to lose or to show wrong data after crashes and compactions, and are not maintained`
    return { refusal, warnings: [] }
  }
  const warnings: string[] = []
  if (isUnfixed(version, STALE_READS_FIXED)) {
    warnings.push(
      `etcd ${text} can answer reads with old data after a change of its leader (etcd-io/etcd#20418); Holdfast detects it and asks again. Fixed in 3.5.28 and 3.6.9`,
    )
  }
  if (isUnfixed(version, RIGHTS_FIXED)) {
    warnings.push(
      `etcd ${text} has known holes in its authorisation: let nobody but Holdfast reach it. Fixed in 3.5.33, 3.6.14 and 3.7.1`,
    )
  }
  return { refusal: null, warnings }
}

/** Fixed in the named patch of each line of versions, and in every line after those. */
function isUnfixed(version: Version, fixes: string[]): boolean {
  const parsed = fixes.map(text => parse(text)!)
  const own = parsed.find(fix => fix.major === version.major && fix.minor === version.minor)
  if (own) return isBefore(version, own)
  return isBefore(version, parsed.at(-1)!)
}

function isBefore(one: Version, other: Version): boolean {
  return (one.major - other.major || one.minor - other.minor || one.patch - other.patch) < 0
}

function parse(text: string): Version | null {
  const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)
  return match && { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) }
}

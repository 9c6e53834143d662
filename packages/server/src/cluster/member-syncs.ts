/** How long the disks of etcd's members take to sync its log, as each of them has counted since it started. */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import type { ClusterDirectory } from './directory.ts'
import { type Bucket, bucketsIn } from './exposition.ts'
import { messageOf } from './failure.ts'
import type { MemberPicture } from './picture.ts'

export type MemberSyncs = { member: string; buckets: readonly Bucket[] } | { member: string; failure: string }

const HISTOGRAM = 'etcd_disk_wal_fsync_duration_seconds'
const ANSWER_MS_MAX = 5_000
/** etcd tells some 150 KiB. */
const METRICS_BYTES_MAX = 4 * 1024 * 1024

/** Of those that answer at all. Never rejects. */
export async function syncsOfMembers(
  directory: ClusterDirectory,
  members: readonly Pick<MemberPicture, 'name' | 'url'>[],
): Promise<MemberSyncs[]> {
  const asked = members.flatMap(({ name, url }) => (url === null ? [] : [{ member: name, url }]))
  return await Promise.all(
    asked.map(async ({ member, url }) => {
      try {
        return { member, buckets: bucketsIn(await metricsOf(`${url}/metrics`, directory), HISTOGRAM) }
      } catch (error) {
        return { member, failure: messageOf(error) }
      }
    }),
  )
}

function metricsOf(url: string, { tls: { caFile, certificate } }: ClusterDirectory): Promise<string> {
  const { certificateFile, keyFile } = certificate
  const [ca, cert, key] = [readFileSync(caFile), readFileSync(certificateFile), readFileSync(keyFile)]
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    const asking = request(url, { ca, cert, key, signal, agent: false }, response => {
      const pieces: Buffer[] = []
      let bytes = 0
      response.on('data', (piece: Buffer) => {
        bytes += piece.length
        pieces.push(piece)
        if (bytes > METRICS_BYTES_MAX)
          response.destroy(new Error(`its metrics are longer than ${METRICS_BYTES_MAX} bytes`))
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(pieces).toString())
        else reject(new Error(`it answers ${response.statusCode}`))
      })
    })
    asking.on('error', reject)
    asking.end()
  })
}

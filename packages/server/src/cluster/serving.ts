/** How a Holdfast server is started on the cluster of a directory. */
import { type ClusterDirectory, QUOTA_BYTES_DEFAULT, ROOT_DEFAULT } from './directory.ts'
import type { Picture } from './picture.ts'

/** What `holdfast serve` must be given; its own address, name and data directory come on top. */
export function serveArguments(directory: ClusterDirectory, { members }: Picture): string[] {
  const { quotaBytes, root } = directory.plan()
  const urls = members.flatMap(({ url, isLearner }) => (url === null || isLearner ? [] : [url]))
  return [
    '--engine',
    'etcd',
    '--etcd',
    urls.join(','),
    '--etcd-ca',
    directory.caFile,
    '--etcd-cert',
    directory.clientFile,
    '--etcd-key',
    directory.clientFile,
    ...(quotaBytes === QUOTA_BYTES_DEFAULT ? [] : ['--etcd-quota-bytes', String(quotaBytes)]),
    ...(root === ROOT_DEFAULT ? [] : ['--root', root]),
  ]
}

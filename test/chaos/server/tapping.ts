/** The channel on which an engine on LMDB is shown to the tap of its process when it has been opened. */
export const TAPPED_LMDB = 'chaos.lmdb'

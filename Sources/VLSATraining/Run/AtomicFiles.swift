import Foundation

/// Files and folders that are there whole or not at all, also after a crash or a full disk.
public enum AtomicFiles {
    /// Prefix of names under which things are prepared; what bears it after a crash is rubbish.
    public static let temporaryPrefix = ".writing-"

    /// Writes `data` under a temporary name, syncs, and renames over `path`.
    public static func write(_ data: Data, to path: String) throws {
        let folder = PlanPath.folder(of: path)
        let name = path.split(separator: "/").last ?? ""
        let temporary = "\(folder)/\(temporaryPrefix)\(name)-\(getpid())"
        do {
            try data.write(to: URL(fileURLWithPath: temporary))
        } catch {
            unlink(temporary)
            throw RunError.cannotWrite(path: path, reason: reason(of: error))
        }
        do {
            try sync(temporary)
            try move(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Makes a folder: `body` fills a temporary one, every file in it is synced, and a rename publishes it.
    ///
    /// Whatever `body` throws, nothing is left behind. `path` must not exist yet.
    public static func makeFolder(_ path: String, _ body: (String) throws -> Void) throws {
        let parent = PlanPath.folder(of: path)
        let name = path.split(separator: "/").last ?? ""
        let temporary = "\(parent)/\(temporaryPrefix)\(name)-\(getpid())"
        let files = FileManager.default
        do {
            try files.createDirectory(atPath: parent, withIntermediateDirectories: true)
            if files.fileExists(atPath: temporary) { try files.removeItem(atPath: temporary) }
            try files.createDirectory(atPath: temporary, withIntermediateDirectories: false)
        } catch {
            throw RunError.cannotWrite(path: path, reason: reason(of: error))
        }
        do {
            try body(temporary)
            try syncTree(temporary)
            try move(temporary, to: path)
        } catch {
            try? files.removeItem(atPath: temporary)
            throw error
        }
    }

    /// Removes what a crash left half written in `folder`; only for the one process that may write there.
    public static func sweep(_ folder: String) {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: folder)) ?? []
        where name.hasPrefix(temporaryPrefix) {
            try? files.removeItem(atPath: folder + "/" + name)
        }
    }

    /// Puts the files beneath `source` into the existing folder `target`: large ones as second names of the
    /// same data, where the file system can, small ones as copies that may be edited alone.
    static func duplicate(_ source: String, into target: String) throws {
        let manager = FileManager.default
        for name in try files(beneath: source) {
            let (from, to) = (source + "/" + name, target + "/" + name)
            do {
                try manager.createDirectory(
                    atPath: PlanPath.folder(of: to), withIntermediateDirectories: true)
                let size = try manager.attributesOfItem(atPath: from)[.size] as? Int ?? 0
                if size >= 1 << 20, link(from, to) == 0 { continue }
                try manager.copyItem(atPath: from, toPath: to)
            } catch {
                throw RunError.cannotWrite(path: to, reason: reason(of: error))
            }
        }
    }

    /// Regular files beneath `folder`, as sorted relative paths.
    public static func files(beneath folder: String) throws -> [String] {
        var found: [String] = []
        func visit(_ relative: String) throws {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder + relative)
                .sorted()
            {
                let path = relative + "/" + name
                var isFolder: ObjCBool = false
                let exists = FileManager.default.fileExists(
                    atPath: folder + path, isDirectory: &isFolder)
                if exists, isFolder.boolValue {
                    try visit(path)
                } else {
                    found.append(String(path.dropFirst()))
                }
            }
        }
        do {
            try visit("")
        } catch {
            throw RunError.cannotRead(path: folder, reason: reason(of: error))
        }
        return found.sorted()
    }

    private static func syncTree(_ folder: String) throws {
        var folders: Set<String> = [folder]
        for file in try files(beneath: folder) {
            try sync(folder + "/" + file)
            var parent = PlanPath.folder(of: file)
            while parent != "." {
                folders.insert(folder + "/" + parent)
                parent = PlanPath.folder(of: parent)
            }
        }
        for folder in folders.sorted(by: { $0.utf8.count > $1.utf8.count }) { try sync(folder) }
    }

    /// Waits until a file's or folder's content is on the disk.
    static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
    }

    private static func move(_ source: String, to path: String) throws {
        guard rename(source, path) == 0 else {
            throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        try sync(PlanPath.folder(of: path))
    }
}

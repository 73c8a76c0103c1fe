import Foundation

/// Where the reference's results are: `Tests/Fixtures`, or the folder of the same layout that the
/// environment's `VLSA_GOLDEN` names (`make golden DIR=FOLDER`).
public enum GoldenFolder {
    /// The package's own.
    public static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures").path

    /// The one to compare with, without a slash at its end.
    public static let path: String = {
        guard let other = ProcessInfo.processInfo.environment["VLSA_GOLDEN"], !other.isEmpty else {
            return fixtures
        }
        return URL(fileURLWithPath: other).standardizedFileURL.path
    }()

    /// Whether the package's own fixtures are compared with, of which counts are known.
    public static var isOwn: Bool { path == fixtures }

    /// Whether there is a file or folder of this name.
    public static func contains(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: path + "/" + name)
    }

    /// Names of the sub-folders, below `parent` if it is given, in order.
    public static func folders(in parent: String = "") -> [String] {
        let place = parent.isEmpty ? path : path + "/" + parent
        let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
        return names.filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(
                atPath: place + "/" + name, isDirectory: &isFolder)
                && isFolder.boolValue
        }.sorted()
    }

    /// Checkpoints with results beside them whose `config.json` says one of `kinds`, in order.
    public static func families(_ kinds: String...) -> [String] {
        struct Head: Decodable {
            let model_type: String?
            let _class_name: String?
        }
        return folders().filter { name in
            guard contains(name + "/golden.safetensors"),
                let data = FileManager.default.contents(atPath: path + "/\(name)/config.json"),
                let head = try? JSONDecoder().decode(Head.self, from: data)
            else { return false }
            return kinds.contains(head.model_type ?? head._class_name ?? "")
        }
    }
}

// swift-tools-version: 6.1
import Foundation
import PackageDescription

// Where libtorch is: the variables of tch-rs keep their meaning (LIBTORCH_USE_PYTORCH, LIBTORCH,
// LIBTORCH_INCLUDE, LIBTORCH_LIB), else the copy that `make setup` keeps in the user's cache. Unset, empty
// and "0" mean the same. Without any of them CTorch stops at an #error that lists the choices, and the
// targets that need no libtorch still build.

/// The libtorch that `make setup` fetches; 2.11 and later build.
let libTorchVersion = "2.13.0"

struct LibTorch {
    var includes: [String]
    var library: String
}

func variable(_ name: String) -> String? {
    guard let value = Context.environment[name], !value.isEmpty, value != "0" else { return nil }
    return value
}

func output(of arguments: [String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { return nil }
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}

func findLibTorch() -> LibTorch? {
    var root: String?
    if variable("LIBTORCH_USE_PYTORCH") != nil {
        root = output(of: [
            "python3", "-c",
            "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))",
        ])
    } else if let folder = variable("LIBTORCH") {
        root = folder
    } else if variable("LIBTORCH_INCLUDE") == nil || variable("LIBTORCH_LIB") == nil {
        let cache =
            variable("XDG_CACHE_HOME") ?? (Context.environment["HOME"].map { $0 + "/.cache" } ?? "")
        root = cache + "/vlsa/libtorch-\(libTorchVersion)/torch"
    }
    let include = variable("LIBTORCH_INCLUDE") ?? root.map { $0 + "/include" }
    let library = variable("LIBTORCH_LIB") ?? root.map { $0 + "/lib" }
    guard let include, let library,
        FileManager.default.fileExists(atPath: include + "/torch/csrc/api/include/torch/torch.h"),
        FileManager.default.fileExists(atPath: library + "/libtorch_cpu.so")
    else { return nil }
    return LibTorch(
        includes: [include, include + "/torch/csrc/api/include"], library: library)
}

let libTorch = findLibTorch()
let torchCompile: [CXXSetting] =
    libTorch.map { found in
        [
            .define("VLSA_LIBTORCH_FOUND"),
            .unsafeFlags(
                found.includes.flatMap { ["-isystem", $0] } + [
                    "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter",
                ]),
        ]
            + (variable("LIBTORCH_BYPASS_VERSION_CHECK") == nil
                ? [] : [.define("VLSA_ANY_LIBTORCH_VERSION")])
    } ?? []
let torchLink: [LinkerSetting] =
    libTorch.map { found in
        [
            .unsafeFlags(["-L\(found.library)", "-Xlinker", "-rpath", "-Xlinker", found.library]),
            .linkedLibrary("torch_cpu"), .linkedLibrary("c10"), .linkedLibrary("dl"),
        ]
    } ?? []

// Asked here and not through a system library target, which would warn about the -pthread among its flags.
let vipsIncludes =
    output(of: ["pkg-config", "--cflags-only-I", "vips"])?.split(separator: " ").map(String.init)
    ?? []

let package = Package(
    name: "vlsa",
    products: [.executable(name: "vlsa", targets: ["VLSATool"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", exact: "2.1.1"),
    ],
    targets: [
        .target(name: "CTorch", cxxSettings: torchCompile, linkerSettings: torchLink),
        .target(
            name: "CVips", cSettings: [.unsafeFlags(vipsIncludes + ["-O2"])],
            linkerSettings: [
                .linkedLibrary("vips"), .linkedLibrary("gobject-2.0"), .linkedLibrary("glib-2.0"),
            ]),
        .target(name: "CPixels", cSettings: [.unsafeFlags(["-O3"])]),
        .target(name: "CStart"),
        .target(name: "CFiles", cSettings: [.unsafeFlags(["-O2"])]),
        .target(name: "COpenBLAS", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "Torch", dependencies: ["CTorch", "CFiles"]),
        .target(name: "TorchNN", dependencies: ["Torch"]),
        .target(name: "AnyRes", dependencies: ["CVips", "CPixels"]),
        .target(name: "Codecs", dependencies: ["AnyRes", "COpenBLAS"]),
        .target(
            name: "Prompting", dependencies: [.product(name: "Mustache", package: "swift-mustache")]
        ),
        .target(
            name: "Corpus",
            dependencies: [
                "AnyRes", "Codecs", "Prompting", .product(name: "Yams", package: "Yams"),
            ]),
        .target(name: "VLSA", dependencies: ["Torch", "TorchNN", "Corpus"]),
        .target(
            name: "VLSATraining",
            dependencies: ["VLSA", .product(name: "Yams", package: "Yams")]),
        .executableTarget(
            name: "VLSATool",
            dependencies: [
                "VLSATraining", "CStart",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(name: "GoldenSupport", path: "Tests/GoldenSupport"),
        .testTarget(
            name: "TorchTests", dependencies: ["Torch", "CTorch", "CFiles", "GoldenSupport"]),
        .testTarget(name: "TorchNNTests", dependencies: ["TorchNN", "GoldenSupport"]),
        .testTarget(name: "AnyResTests", dependencies: ["AnyRes", "GoldenSupport"]),
        .testTarget(name: "CodecsTests", dependencies: ["Codecs"]),
        .testTarget(name: "PromptingTests", dependencies: ["Prompting", "GoldenSupport"]),
        .testTarget(name: "CorpusTests", dependencies: ["Corpus"]),
        .testTarget(name: "VLSATests", dependencies: ["VLSA", "AnyRes", "GoldenSupport"]),
        .testTarget(name: "VLSATrainingTests", dependencies: ["VLSATraining", "GoldenSupport"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx20
)
